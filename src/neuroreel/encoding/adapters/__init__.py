"""Encoding models of other labs, each behind a file of its own that imports their library only when it is used.

``KINDS`` says which module opens which kind: its ``load(file, session=..., **options)``.
"""

KINDS = {
    "open_retina": "neuroreel.encoding.adapters.open_retina",
    "viv1t": "neuroreel.encoding.adapters.viv1t",
    "fnn": "neuroreel.encoding.adapters.fnn",
    "sensorium_2023": "neuroreel.encoding.adapters.sensorium_2023",
    "exported": "neuroreel.encoding.adapters.exported",
}
ENDINGS = {".pt2": "exported", ".ts": "exported"}
