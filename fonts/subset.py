"""Makes the small fonts in this folder from the full fonts.

``python fonts/subset.py SOURCES`` reads SOURCES, a folder with one folder for each package of the table in README.md, unpacked
(``SOURCES/fonts-croscore/...``, ``SOURCES/fontsource-jost/...``), and writes the subsets beside this script, or into ``--out``.
It needs ``fonttools`` and ``brotli``.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from fontTools.subset import Options, Subsetter, load_font, save_font  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

DATE = "2026-11-22"
ASCII = "".join(map(chr, range(0x20, 0x7F)))
CHINESE = "君不见黄河之水天上来奔流到海复回烟锁池塘柳深圳铁板烧"
KEPT_NAMES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14)
FAMILY, STYLE, FULL_NAME, VERSION, POSTSCRIPT_NAME, DESCRIPTION = 1, 2, 4, 5, 6, 10


@dataclass(frozen=True)
class Font:
    """A font to make, and the file it is made from."""

    out: str
    package: str
    source: str
    face: int = 0
    """Which face of a ``.ttc`` collection."""
    family: str = ""
    """A new family name, where the licence reserves or asks to change the old one."""
    chinese: bool = False
    notice_in_copyright: bool = False
    """Writes the notice of the change into the copyright line too (Arphic Public License, section 2a)."""


FONTS = (
    Font("Arimo-Regular.ttf", "fonts-croscore", "Arimo-Regular.ttf"),
    Font("Tinos-Regular.ttf", "fonts-croscore", "Tinos-Regular.ttf"),
    Font("Tinos-Bold.ttf", "fonts-croscore", "Tinos-Bold.ttf"),
    Font("DejaVuSans.ttf", "fonts-dejavu-core", "DejaVuSans.ttf"),
    Font("DejaVuSansMono.ttf", "fonts-dejavu-core", "DejaVuSansMono.ttf"),
    Font("CrnnSans-Regular.ttf", "fonts-crosextra-carlito", "Carlito-Regular.ttf", family="Crnn Sans"),
    Font("ComicNeue-Bold.otf", "fonts-comic-neue", "ComicNeue-Bold.otf"),
    Font("CrnnFlare-Regular.otf", "fonts-linuxlibertine", "LinBiolinum_R.otf", family="Crnn Flare"),
    Font("CrnnGrotesque-Regular.otf", "fonts-texgyre", "texgyreheros-regular.otf", family="Crnn Grotesque"),
    Font("Anton-Regular.ttf", "fontsource-anton", "anton-latin-400-normal.woff2"),
    Font("ArchivoBlack-Regular.ttf", "fontsource-archivo-black", "archivo-black-latin-400-normal.woff2"),
    Font("Cabin-Regular.ttf", "fontsource-cabin", "cabin-latin-400-normal.woff2"),
    Font("Gelasio-Regular.ttf", "fontsource-gelasio", "gelasio-latin-400-normal.woff2"),
    Font("Inconsolata-Regular.ttf", "fontsource-inconsolata", "inconsolata-latin-400-normal.woff2"),
    Font("Jost-Regular.ttf", "fontsource-jost", "jost-latin-400-normal.woff2"),
    Font("SungtiLGB-Regular.ttf", "fonts-arphic-gbsn00lp", "gbsn00lp.ttf", chinese=True, notice_in_copyright=True),
    Font("UMingCN-Light.ttf", "fonts-arphic-uming", "uming.ttc", chinese=True, notice_in_copyright=True),
    Font("UKaiCN-Book.ttf", "fonts-arphic-ukai", "ukai.ttc", chinese=True, notice_in_copyright=True),
    Font("NotoSansCJKsc-Regular.otf", "fonts-noto-cjk", "NotoSansCJK-Regular.ttc", face=2, chinese=True),
    Font("NotoSerifCJKsc-Regular.otf", "fonts-noto-cjk", "NotoSerifCJK-Regular.ttc", face=2, chinese=True),
    Font("CrnnKai-Regular.ttf", "fonts-lxgw-wenkai", "LXGWWenKai-Regular.ttf", family="Crnn Kai", chinese=True),
    Font("TWSung-Regular.ttf", "fonts-cns11643-sung", "TW-Sung-98_1.ttf", chinese=True),
)


def _options(font: Font) -> Options:
    options = Options()
    options.font_number = font.face
    options.hinting = False
    options.layout_features = []
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "BASE", "kern", "meta", "MATH", "STAT", "VORG", "vhea", "vmtx"]
    options.name_IDs = ["*"]
    options.name_languages = ["*"]
    options.name_legacy = True
    options.notdef_outline = True
    return options


def _write_names(ttf: TTFont, font: Font) -> None:
    """Leaves one English record for each name, with the new names and the notice of what was changed."""
    table = ttf["name"]
    old = {name: table.getDebugName(name) or "" for name in (*KEPT_NAMES, DESCRIPTION)}
    version = old[VERSION].removeprefix("Version ").split(";")[0].strip()
    kept = "printable ASCII" + (f" and {len(CHINESE)} Chinese characters" if font.chinese else "")
    notice = (
        f"Subset of {old[FULL_NAME]} {version}, made {DATE} for crnn_jax: kept {kept}; "
        "removed the other glyphs, hinting, kerning, layout tables and names in other languages"
        + ("; converted from WOFF2" if font.source.endswith("woff2") else "")
        + (f"; renamed to {font.family}." if font.family else ".")
    )
    names = {name: text.strip() for name, text in old.items()}
    if font.family:
        postscript = f"{font.family.replace(' ', '')}-{old[STYLE]}"
        names |= {FAMILY: font.family, FULL_NAME: f"{font.family} {old[STYLE]}", POSTSCRIPT_NAME: postscript}
        if "CFF " in ttf:
            cff = ttf["CFF "].cff
            cff.fontNames[0] = postscript
            cff[0].FamilyName = font.family
            cff[0].FullName = names[FULL_NAME]
    names[3] = f"{version};crnn_jax;{names[POSTSCRIPT_NAME]}"
    names[DESCRIPTION] = f"{notice} {names[DESCRIPTION]}".strip()
    if font.notice_in_copyright:
        names[0] = f"{names[0]}\n\n{notice}"
    table.names = []
    for name, text in sorted(names.items()):
        if text:
            table.setName(text, name, 3, 1, 0x409)


def make(font: Font, sources: Path, out: Path) -> Path:
    """Makes one font and returns the path of its file."""
    source = next((sources / font.package).rglob(font.source))
    options = _options(font)
    ttf = load_font(source, options)
    text = ASCII + (CHINESE if font.chinese else "")
    if missing := [char for char in text if ord(char) not in ttf.getBestCmap()]:
        raise ValueError(f"{source} lacks {''.join(missing)}")
    subsetter = Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(ttf)
    _write_names(ttf, font)
    path = out / font.out
    save_font(ttf, str(path), options)
    return path


def main() -> None:
    """Makes every font."""
    parser = argparse.ArgumentParser(description="Makes the small fonts in this folder from the full fonts.")
    parser.add_argument("sources", type=Path, help="folder with a folder for each unpacked package")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write (this script's folder)")
    args = parser.parse_args()
    for font in FONTS:
        path = make(font, args.sources, args.out)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
