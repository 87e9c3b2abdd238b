"""Words for slices that are languages or regions, and words that only look like their codes: a small table, for those who write reasons."""

from __future__ import annotations

from collections.abc import Mapping


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


NAMES: Mapping[str, str] = {
    "ar": "arabic arabisch arabski arabe",
    "bg": "bulgarian bulgarisch bulgaria",
    "cs": "czech tschechisch czeski čeština czechia",
    "da": "danish dänisch duński dansk denmark",
    "de": "german deutsch deutsche deutschen deutscher germany deutschland niemiecki niemieckiego allemand alemán tedesco",
    "el": "greek griechisch greece",
    "en": "english englisch englische englischen angielski angielskiego anglais inglés inglese",
    "es": "spanish spanisch spanische spain español hiszpański espagnol",
    "et": "estonian estonia",
    "fi": "finnish finnisch suomi finland",
    "fr": "french französisch französische france français francuski francés",
    "he": "hebrew hebräisch",
    "hi": "hindi",
    "hr": "croatian kroatisch croatia",
    "hu": "hungarian ungarisch magyar hungary",
    "it": "italian italienisch italiano italy włoski",
    "ja": "japanese japanisch japan",
    "ko": "korean koreanisch korea",
    "lt": "lithuanian lithuania",
    "lv": "latvian latvia",
    "nl": "dutch niederländisch nederlands netherlands holenderski",
    "no": "norwegian norwegisch norsk norway",
    "pl": "polish polnisch polnische polnischen polski polskiego poland polonais polaco",
    "pt": "portuguese portugiesisch português portugal",
    "ro": "romanian rumänisch romania",
    "ru": "russian russisch rosyjski russia",
    "sk": "slovak slowakisch slovakia",
    "sl": "slovene slovenian slovenia",
    "sv": "swedish schwedisch svenska sweden",
    "tr": "turkish türkisch turkey",
    "uk": "ukrainian ukrainisch ukraine",
    "vi": "vietnamese vietnam",
    "zh": "chinese chinesisch china",
    "eu": "europe european europa",
    "us": "usa america american",
    "gb": "britain british",
    "apac": "asia asian",
    "emea": "europe",
    "latam": "latin-america",
}
"""Code → other words for it."""

COMMON = _words(
    "a ai all am an and any are as at be best but by ca can da der die das do eg es et far few for from get go had has he her high him",
    "his hot hr i id ie if im in is it its ja kg km la le let lo low main me mid ml ms my new no non not now of off ok old on one or",
    "our out per pro ps rest same se set she si so some st su ta te test than that the them they this ti to too top um un up us via vs",
    "was we who will with you zu",
)
"""Words that say nothing of a slice, though one may be called so."""

PARTICLES = _words("de en es el la le da do se si te um un et ne na za po je ni no")
ROMANCE = _words(
    "le la les des du est pour avec dans sur une plus trop que para por los las una con muy los não uma dos het een van voor niet met zijn",
    "per gli della molto demasiado seuil umbral limiar drempel soglia",
)
"""Words by which a sentence is none in English, German or Polish, but in a language in which `PARTICLES` are everywhere."""

IDIOMS = frozenset({("de", "facto"), ("de", "jure"), ("de", "novo"), ("en", "route"), ("en", "masse"), ("en", "bloc")})

ABOUT = _words("threshold thresholds events event alerts texts news requests speaking")
"""Words that, joined with a code by a hyphen, leave it one: `de-threshold`, and not `de-facto`."""

VERBAL = _words("the a this these it up our some all its thresholds threshold value values config")
"""Before these `polish` is no language: in `polish the threshold` it is what one does."""
