"""Encoding models of other labs, one file each, which imports the lab's library only when used.

``KINDS`` names the module of each kind; it has a function ``load(file, session=..., **options)``.
"""

KINDS = {
    "open_retina": "neuroreel.encoding.adapters.open_retina",
    "viv1t": "neuroreel.encoding.adapters.viv1t",
    "fnn": "neuroreel.encoding.adapters.fnn",
    "sensorium_2023": "neuroreel.encoding.adapters.sensorium_2023",
    "exported": "neuroreel.encoding.adapters.exported",
}
ENDINGS = {".pt2": "exported", ".ts": "exported"}
