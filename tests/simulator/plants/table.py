"""Every planted bug, by its number."""

from collections.abc import Mapping

from tests.simulator.plants import amounts, protocol, records
from tests.simulator.plants.plant import Plant

PLANTS: Mapping[str, Plant] = {
    plant.number: plant for plant in (*protocol.PLANTS, *amounts.PLANTS, *records.PLANTS)
}
