"""The pages of `gankit ui` about generators, as HTML: explore one, compare two."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gankit.page.html import text
from gankit.web.pages import copied, page
from gankit.web.shelf import GeneratorEntry

FIRST = 25  # seeds in the grid that is shown at first

Facts = Mapping[str, Any]  # see `Generators.facts`


def list_page(entries: Sequence[GeneratorEntry]) -> str:
    """The generators to explore."""
    listed = "".join(f'<li><a href="/explore/{e.id}">{text(e.name)}</a></li>' for e in entries)
    nothing = "<p>No generators yet: a run has one after its first checkpoint.</p>"
    return page("Explore", f"<h1>Explore</h1>{f'<ul>{listed}</ul>' if listed else nothing}", where="Explore")


def explore_page(entry: GeneratorEntry, facts: Facts) -> str:
    """A grid of seeds, the latent space between four of them, a photo, and mixed styles where there are styles."""
    parts = [_seeds(entry, facts)]
    if facts["is_image"]:
        parts += [_pad(entry), _photo(entry)]
    if facts["is_image"] and facts["layers"] > 1:
        parts.append(_mix(entry, int(facts["layers"])))
    said = f"{facts['variant']} on {facts['data']}, {facts['what']}, {facts['images_seen']:,} images seen"
    body = f"<h1>{text(entry.name)}</h1><p class=pale>{text(said)}</p>{''.join(parts)}"
    return page(entry.name, body, scripts=("explore",), where="Explore")


def compare_page(
    entries: Sequence[GeneratorEntry], chosen: Sequence[GeneratorEntry], facts: Sequence[Facts], problem: str
) -> str:
    """Two generators with the same seeds, side by side."""

    def choice(name: str, index: int) -> str:
        at = chosen[index].id if index < len(chosen) else ""
        options = "".join(
            f'<option value="{e.id}"{" selected" if e.id == at else ""}>{text(e.name)}</option>' for e in entries
        )
        return f"<label>{name} <select name={name}>{options}</select></label>"

    form = f'<form action="/compare" class=tools>{choice("a", 0)} {choice("b", 1)} <button>Compare</button></form>'
    body = "<h1>Compare</h1>" + (form if entries else "<p>No generators yet.</p>")
    if problem:
        body += f"<p class=bad>{text(problem)}</p>"
    elif len(facts) == 2:
        common = {**facts[0], "classes": [c for c in facts[0]["classes"] if c in facts[1]["classes"]], "directions": []}
        figures = "".join(
            f'<figure class=picture data-grid="{e.id}"><img alt="samples of {text(e.name)}"><figcaption></figcaption>'
            f"<p class=pale>{text(e.name)}: {f['images_seen']:,} images</p></figure>"
            for e, f in zip(chosen, facts, strict=True)
        )
        body += f"{_controls(common)}<div class=pair>{figures}</div>"
    return page("Compare", body, scripts=("explore",), where="Compare")


def quoted(entry: GeneratorEntry) -> str:
    """The file of a generator as a word of a command line."""
    return shlex.quote(str(entry.path))


# -- sections of the page of a generator -------------------------------------------------------------------------------


def _seeds(entry: GeneratorEntry, facts: Facts) -> str:
    problem = f"<p class=bad>{text(facts['problem'])}</p>" if facts["problem"] else ""
    return f"""<section><h2>Seeds</h2>
{_controls(facts)}
{problem or ("" if facts["directions"] else _find_directions(entry))}
<figure class=picture data-grid="{entry.id}"><img alt="samples"><figcaption></figcaption></figure>
{copied(f"gankit sample {quoted(entry)}", name="grid")}</section>"""


def _find_directions(entry: GeneratorEntry) -> str:
    command = f"<code>gankit directions {text(quoted(entry))}</code>"
    return f"""<form method=post action="/explore/{entry.id}/directions" class=tools>
<button>Find directions</button><span class=pale>does {command}: sliders from the weights, kept beside the file</span>
</form>"""


def _pad(entry: GeneratorEntry) -> str:
    corner = '<img alt="" class=corner>'
    return f"""<section><h2>Between four seeds</h2>
<div class=blend data-blend="{entry.id}">
<div class=pad tabindex=0 role=application aria-label="Place between four seeds; arrow keys move it">
{corner * 4}<span></span></div>
<figure class=picture><img alt="the sample at this place"><figcaption></figcaption></figure></div>
<p class=tools><label>Seeds of the corners <input name=corners value="0,1,2,3" pattern="[0-9]+(,[0-9]+){{3}}"></label>
<button type=button data-shuffle>Other seeds</button></p>
{copied("gankit interpolate", name="walk")}</section>"""


def _photo(entry: GeneratorEntry) -> str:
    return f"""<section><h2>A photo of yours</h2>
<p class=pale>The sample nearest to it is searched, which takes seconds to minutes; then the sliders move it.</p>
<div class=photo data-photo="{entry.id}">
<p class="drop tools"><label>Drop a picture here, or choose one <input type=file accept="image/*"></label></p>
<p role=status></p>
<div class=pair hidden>
<figure><img alt="the photo at the size of the generator"><figcaption>photo</figcaption></figure>
<figure class=picture><img alt="the nearest sample"><span class=pale>nearest sample, moved</span>
<figcaption></figcaption></figure></div>
<div hidden>{copied("gankit sample", name="photo")}<p class=pale>with <a download>latents.npz</a></p></div>
</div></section>"""


def _mix(entry: GeneratorEntry, layers: int) -> str:
    half = layers // 2
    seeds = 'pattern="[0-9]+-[0-9]+"'
    layer = f"<input type=range name=from min=1 max={layers - 1} value={half}><output>{half}</output>"
    return f"""<section><h2>Mixed styles</h2>
<form class=tools data-mix="{entry.id}">
<label>Seeds of the rows <input name=coarse value="0-3" {seeds}></label>
<label>of the columns <input name=fine value="10-15" {seeds}></label>
<label>columns from layer {layer}</label></form>
<figure class=picture><img alt="mixed styles"><figcaption></figcaption></figure>
{copied("gankit mix", name="mix")}</section>"""


def _controls(facts: Facts) -> str:
    """What a picture of seeds depends on; a slider for each direction that is kept beside the generator."""
    label = ""
    if facts["classes"]:
        options = "".join(f'<option value="{text(c)}">{text(c)}</option>' for c in facts["classes"])
        label = f"<label>Class <select name=label><option value=''>as in the data</option>{options}</select></label>"
    elif facts["attributes"]:
        hints = "".join(f'<option value="{text(a)}=1">' for a in facts["attributes"])
        label = f"<label>Attributes <input name=label list=names></label><datalist id=names>{hints}</datalist>"
    moves = "".join(
        f'<label><span>{text(name)}</span><input type=range data-move="{text(name)}" min=-4 max=4 step=0.1 value=0>'
        "<output>0</output></label>"
        for name in facts["directions"]
    )
    directions = f"<fieldset><legend>Directions, in standard deviations</legend>{moves}</fieldset>" if moves else ""
    return f"""<form class=tools data-controls>
<label>First seed <input type=number name=seed min=0 max=999999999 value=0></label>
<label>Samples <input type=range name=n min=1 max=100 value={FIRST}><output>{FIRST}</output></label>
{label}
<label>Truncation ψ <input type=range name=psi min=0 max=1 step=0.05 value=1><output>1</output></label>
<button type=button data-next>Next seeds</button>
<button type=reset>Reset</button>
{directions}</form>"""
