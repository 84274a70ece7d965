"""Linear decoding: from responses straight to pixels."""

from neuroreel.decoding.decoder import RidgeDecoder, check_decodable, decode
from neuroreel.decoding.ridge import fit_decoder

__all__ = ["RidgeDecoder", "check_decodable", "decode", "fit_decoder"]
