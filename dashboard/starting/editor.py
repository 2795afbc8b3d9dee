"""An editor of YAML that tells what is typed while it is typed, with the lines that are wrong marked."""

from collections.abc import Sequence

import streamlit as st

_HTML = """
<div class="editor">
  <div class="gutter" aria-hidden="true"></div>
  <textarea id="experiment-text" spellcheck="false" autocapitalize="off" autocomplete="off" wrap="off"
    aria-label="Experiment, as YAML"></textarea>
</div>
"""

_CSS = """
.editor { display: flex; height: 30rem; border: 1px solid var(--st-border-color); border-radius: .4rem;
  overflow: hidden; background: var(--st-secondary-background-color); }
.editor:focus-within { border-color: var(--st-primary-color);
  box-shadow: 0 0 0 1px var(--st-primary-color); }
.gutter, textarea { font: 13.5px/1.55 ui-monospace, "Source Code Pro", "DejaVu Sans Mono", monospace;
  padding: .6rem 0; margin: 0; }
.gutter { text-align: right; user-select: none; overflow: hidden; min-width: 2.9rem; }
.gutter span { display: block; padding: 0 .55rem 0 .4rem; color: var(--st-text-color); opacity: .78; }
.gutter span.wrong { opacity: 1; color: var(--wrong-text); background: var(--wrong); font-weight: 700; }
textarea { flex: 1; border: 0; outline: 0; resize: none; padding-left: .6rem; white-space: pre;
  overflow: auto; color: var(--st-text-color); background: var(--st-background-color); tab-size: 2; }
"""

_JS = """
export default function (component) {
  const { parentElement, data, setStateValue } = component;
  const area = parentElement.querySelector("textarea");
  const gutter = parentElement.querySelector(".gutter");
  const host = parentElement.querySelector(".editor");
  host.style.setProperty("--wrong", data.wrong_ground);
  host.style.setProperty("--wrong-text", data.wrong_ink);
  area.readOnly = data.read_only;

  if (area.dataset.source !== data.source) {
    area.dataset.source = data.source;
    area.value = data.text;
    area.scrollTop = 0;
  }
  function number() {
    const lines = area.value.split("\\n").length;
    const wrong = new Map(data.problems.map(([line, why]) => [line, why]));
    gutter.replaceChildren(...Array.from({ length: lines }, (_, place) => {
      const mark = document.createElement("span");
      mark.textContent = String(place + 1);
      if (wrong.has(place + 1)) {
        mark.className = "wrong";
        mark.title = wrong.get(place + 1);
      }
      return mark;
    }));
    gutter.scrollTop = area.scrollTop;
  }
  number();
  area.setAttribute("aria-invalid", String(data.problems.length > 0));
  area.onscroll = () => { gutter.scrollTop = area.scrollTop; };
  area.oninput = () => {
    number();
    clearTimeout(area.pause);
    area.pause = setTimeout(() => setStateValue("typed", [data.source, area.value]), data.pause);
  };
  return () => clearTimeout(area.pause);
}
"""

_PAUSE = 450  # ms without a key, after which the text is checked
_editor = st.components.v2.component("thalweg_editor", html=_HTML, css=_CSS, js=_JS)


def editor(
    text: str, source: str, problems: Sequence[tuple[int, str]], read_only: bool, colors: tuple[str, str]
) -> None:
    """Draw the editor; what was typed is then what :func:`typed` gives.

    Parameters
    ----------
    text : to begin with.
    source : where it is from: with another one the editor takes up the new text.
    problems : (line, what is wrong) of the text as it is.
    colors : ink and ground of a wrong line's number.
    """
    data = {
        "text": text,
        "source": source,
        "problems": [list(problem) for problem in problems],
        "read_only": read_only,
        "pause": _PAUSE,
        "wrong_ink": colors[0],
        "wrong_ground": colors[1],
    }
    _editor(key="editor", data=data, height="content", on_typed_change=lambda: None)


def typed(text: str, source: str) -> str:
    """The text as it stands in the editor.

    Parameters
    ----------
    text : that it began with.
    source : that it began from.
    """
    state = st.session_state.get("editor")
    told = None if state is None else state.get("typed")
    if isinstance(told, list | tuple) and len(told) == 2 and told[0] == source:
        return str(told[1])
    return text
