"""Draw the picture of the whole chain: writes docs/_static/chain.svg.

The drawing takes its colors from the page that it lies in (the theme's variables), so it works on light and dark pages.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "_static" / "chain.svg"
WIDTH, HEIGHT = 900, 648
TILE = (116, 70)  # of a movie, a raster, a mask

STYLE = """
.chain text { fill: var(--pst-color-text-base, currentColor); font-size: 14px; text-anchor: middle; }
.chain .muted { fill: var(--pst-color-text-muted, currentColor); font-size: 12.5px; }
.chain .head { font-size: 16px; font-weight: 600; text-anchor: start; }
.chain .box { fill: var(--pst-color-surface, none); stroke: var(--pst-color-text-muted, currentColor); }
.chain .edge { fill: none; stroke: var(--pst-color-text-muted, currentColor); }
.chain .arrow { fill: none; stroke: var(--pst-color-text-base, currentColor); stroke-width: 1.6; }
.chain .tip { fill: var(--pst-color-text-base, currentColor); }
.chain .back { stroke: var(--pst-color-primary, #0a7d91); stroke-width: 2.4; }
.chain .backtip, .chain .backtext { fill: var(--pst-color-primary, #0a7d91) !important; }
.chain .tick { stroke: var(--pst-color-text-base, currentColor); stroke-width: 1.3; }
.chain .rule { stroke: var(--pst-color-border, currentColor); opacity: 0.7; }
"""

DEFINITIONS = f"""
<clipPath id="c-frame"><rect width="{TILE[0]}" height="{TILE[1]}" rx="3"/></clipPath>
<filter id="c-coarse"><feGaussianBlur stdDeviation="6"/></filter>
<filter id="c-fine"><feGaussianBlur stdDeviation="1.6"/></filter>
<radialGradient id="c-soft"><stop offset="0.55" stop-color="#fff"/><stop offset="1" stop-color="#222"/></radialGradient>
<marker id="c-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">
<path class="tip" d="M0 0L8 4L0 8z"/></marker>
<marker id="c-backtip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto">
<path class="backtip" d="M0 0L8 4L0 8z"/></marker>
<g id="c-scene"><rect width="116" height="70" fill="#b9b9b9"/><circle cx="80" cy="22" r="11" fill="#f4f4f4"/>
<path d="M0 54Q28 26 56 50T116 44V70H0z" fill="#5c5c5c"/>
<path d="M38 70V38h4V26h6v12h4V70z" fill="#262626"/></g>
"""


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{words}</text>'


def movie(x: float, y: float, *, sharpness: str = "") -> str:
    """A stack of frames; reconstructed ones are blurred."""
    behind = "".join(
        f'<rect class="box" x="{x + d}" y="{y - d}" width="{TILE[0]}" height="{TILE[1]}" rx="3"/>' for d in (10, 5)
    )
    blur = f' filter="url(#c-{sharpness})"' if sharpness else ""
    scene = f'<use href="#c-scene"{blur}/>'
    frame = f'<rect width="{TILE[0]}" height="{TILE[1]}" fill="#7f7f7f"/>{scene}'
    border = f'<rect class="edge" x="{x}" y="{y}" width="{TILE[0]}" height="{TILE[1]}" rx="3"/>'
    return f'{behind}<g transform="translate({x} {y})" clip-path="url(#c-frame)">{frame}</g>{border}'


def raster(x: float, y: float, *, seed: int, jitter: float = 0.0) -> str:
    """Rows of ticks: neurons. The same seed with some jitter is a prediction of the same responses."""
    random = np.random.default_rng(seed)
    ticks = []
    for row in range(9):
        times = np.sort(random.uniform(4, TILE[0] - 4, random.integers(5, 14)))
        shifts = random.normal(size=times.size) * jitter
        for time in np.clip(times + shifts, 3, TILE[0] - 3):
            top = y + 5 + row * 7
            ticks.append(f"M{x + time:.1f} {top}v5")
    frame = f'<rect class="box" x="{x}" y="{y}" width="{TILE[0]}" height="{TILE[1]}" rx="3"/>'
    return f'{frame}<path class="tick" d="{"".join(ticks)}"/>'


def mask(x: float, y: float) -> str:
    frame = f'<rect width="{TILE[0]}" height="{TILE[1]}" rx="3" fill="#222"/>'
    hole = '<ellipse cx="60" cy="35" rx="42" ry="31" fill="url(#c-soft)"/>'
    border = f'<rect class="edge" x="{x}" y="{y}" width="{TILE[0]}" height="{TILE[1]}" rx="3"/>'
    return f'<g transform="translate({x} {y})" clip-path="url(#c-frame)">{frame}{hole}</g>{border}'


def box(x: float, y: float, width: float, title: str, below: str) -> str:
    frame = f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{TILE[1]}" rx="9"/>'
    return frame + text(x + width / 2, y + 31, title) + text(x + width / 2, y + 50, below, "muted")


def arrow(path: str, *, back: bool = False) -> str:
    style, tip = ("arrow back", "c-backtip") if back else ("arrow", "c-tip")
    return f'<path class="{style}" d="{path}" marker-end="url(#{tip})"/>'


def learn(y: float) -> list[str]:
    recording = [
        movie(20, y),
        text(78, y + 90, "movie"),
        raster(166, y, seed=1),
        text(224, y + 90, "responses"),
        text(156, y + 110, "a recording, with behavior where there is any", "muted"),
    ]
    learned = [
        arrow(f"M296 {y + 35}H352"),
        box(360, y, 168, "encoding model", "movie to responses"),
        box(546, y, 168, "prior and noise", "what movies are like"),
        mask(732, y),
        text(790, y + 90, "transparency mask"),
        text(444, y + 90, "one, or an ensemble", "muted"),
        text(630, y + 90, "what models leave open", "muted"),
        text(790, y + 110, "pixels the responses tell of", "muted"),
    ]
    return recording + learned


def reconstruct(y: float) -> list[str]:
    low = y + 148
    forward = [
        raster(20, y, seed=2),
        text(84, y - 22, "recorded responses"),
        box(178, y, 116, "movie prior", "mean, spectra"),
        arrow(f"M298 {y + 35}H332"),
        movie(340, y, sharpness="coarse"),
        text(403, y - 22, "the movie so far"),
        arrow(f"M470 {y + 35}H500"),
        box(508, y, 150, "encoding model", "every window"),
        arrow(f"M662 {y + 35}H692"),
        raster(700, y, seed=2, jitter=2.5),
        text(758, y - 22, "predicted responses"),
    ]
    around = [
        arrow(f"M758 {y + 74}V{low - 22}"),
        f'<circle class="box" cx="758" cy="{low}" r="20"/>',
        text(758, low + 5, "J"),
        arrow(f"M78 {y + 74}V{low + 10}H734"),
        text(430, low + 30, "how probable are the responses under this movie, and how probable is it?", "muted"),
        arrow(f"M736 {low - 12}H398V{y + 78}", back=True),
        text(566, low - 22, "gradient: 25 passes at most", "backtext"),
    ]
    return forward + around


def score(y: float) -> list[str]:
    return [
        movie(340, y, sharpness="fine"),
        text(403, y + 90, "reconstruction"),
        text(502, y + 40, "and", "muted"),
        movie(540, y),
        text(603, y + 90, "the movie that was shown"),
        text(790, y + 26, "video correlation"),
        text(790, y + 46, "inside the mask,", "muted"),
        text(790, y + 63, "beside the baselines", "muted"),
        arrow(f"M674 {y + 35}H716"),
    ]


def draw() -> str:
    heads = [(24, "Learn, from movies that were shown"), (206, "Reconstruct, from responses alone"), (498, "Score")]
    parts = [text(20, y, words, "head") for y, words in heads]
    parts += [f'<path class="rule" d="M20 {y - 26}H880"/>' for y, _ in heads[1:]]
    parts += learn(48) + reconstruct(266) + score(528)
    title = "A recording gives an encoding model, prior, noise and mask; with them responses give a movie; then a score"
    return (
        f'<svg class="chain" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}"><style>{STYLE}</style><defs>{DEFINITIONS}</defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
    print(f"wrote {TARGET}")
