"""Decoders: from responses straight to pixels, without an encoding model."""
