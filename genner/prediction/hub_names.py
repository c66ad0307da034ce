"""What the Hugging Face hub accepts in the description of a model: licences, languages, names of data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

__all__ = ["stated_problems"]

# https://huggingface.co/docs/hub/repositories-licenses
_LICENCES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    openrail++ afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr
    mpl-2.0 odc-by odbl openmdw-1.0 openmdw-1.1 osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    grok2-community gemma unknown other
""".split()  # noqa: SIM905  (a list would take a line per name)

# ISO 639-1; of three letters there are thousands, which are taken as they are.
_LANGUAGES = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es
    et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki
    kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no
    nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta
    te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
""".split()  # noqa: SIM905
_NOT_LANGUAGES = ("code", "multilingual")
_NAMES = {
    "english": "en", "german": "de", "deutsch": "de", "french": "fr", "spanish": "es", "italian": "it", "dutch": "nl",
    "portuguese": "pt", "chinese": "zh", "japanese": "ja", "korean": "ko", "russian": "ru", "arabic": "ar",
    "polish": "pl", "swedish": "sv", "danish": "da", "norwegian": "no", "finnish": "fi", "czech": "cs",
    "turkish": "tr", "greek": "el", "ukrainian": "uk", "hindi": "hi", "xx": "multilingual",
}  # fmt: skip
_DATASET = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", re.ASCII)


def stated_problems(licence: str, language: str, datasets: Sequence[str]) -> Iterator[str]:
    """What the hub would refuse, one message each; what is empty is not stated.

    >>> list(stated_problems("mit", "en", ["ada/letters"]))
    []
    """
    if licence and licence not in _LICENCES:
        plain = re.sub(r"[\s_,]+|\b(?:the|licen[cs]e|version|v)\b", " ", licence.lower().replace("-", " "))
        plain = re.sub(r"(?<=[a-z])v?(?=\d)", " ", plain)
        near = get_close_matches("-".join(plain.split()), _LICENCES, n=1)
        yield (
            f"--license: {licence!r} is not known to the hub{_hint(near)}. Expected a name such as apache-2.0, mit or "
            "cc-by-4.0, see https://huggingface.co/docs/hub/repositories-licenses. Set it to one of them, or to other "
            "with a file LICENSE in the model folder."
        )
    is_code = re.fullmatch("[a-z]{3}", language) or language in (*_LANGUAGES, *_NOT_LANGUAGES)
    if language and not is_code:
        plain = language.lower()
        short = _NAMES.get(plain) or re.split("[-_]", plain)[0]
        near = [short] if short in (*_LANGUAGES, *_NOT_LANGUAGES) else []
        yield (
            f"--language: {language!r} is not known to the hub{_hint(near)}. Expected a code of ISO 639 or "
            "multilingual. Set it to one, such as en."
        )
    for name in datasets:
        if not _DATASET.fullmatch(name) or len(name) > 96:
            yield (
                f"--datasets: {name!r} is no name of a data set on the hub. Expected name or user/name. Leave it out, "
                "and describe the data with --data_license."
            )


def _hint(near: Sequence[str]) -> str:
    return f" (did you mean {near[0]!r}?)" if near else ""
