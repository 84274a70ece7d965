from .inversion import reconstruct as reconstruct
from .settings import Settings as Settings
