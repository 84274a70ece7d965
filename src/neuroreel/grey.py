"""Grey levels of a screen: 0 is black, 255 white."""

MID_GREY = 127.5
CONTRAST_GREY = 51.0  # standard deviation of the published stimuli, in grey levels (Bauer et al. 2026)
