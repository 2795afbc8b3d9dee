"""The name with its mark: three sections through a valley, and the line that joins their lowest points."""

_WORD = (
    "M7.4 -12H5.1V-14.9H2.2V-12H0.5V-9.8H2.2V-3.1C2.2 -0.9 3.9 0.2 6 0.2C6.8 0.1 7.4 -0 7.7 -0.1L7.2 "
    "-2.3C7 -2.3 6.7 -2.2 6.4 -2.2C5.6 -2.2 5.1 -2.5 5.1 -3.6V-9.8H7.4ZM12.4 -7C12.4 -8.8 13.5 -9.8 15 "
    "-9.8C16.5 -9.8 17.3 -8.8 17.3 -7.2V0H20.2V-7.6C20.2 -10.5 18.5 -12.2 16 -12.2C14.2 -12.2 13 -11.3 "
    "12.5 -10H12.3V-16H9.6V0H12.4ZM26.2 0.2C28.1 0.2 29.3 -0.6 29.8 -1.6H29.9V0H32.6V-8C32.6 -11.2 30 "
    "-12.2 27.7 -12.2C25.2 -12.2 23.2 -11 22.6 -8.8L25.3 -8.5C25.5 -9.3 26.3 -10 27.7 -10C29 -10 29.8 "
    "-9.3 29.8 -8.1V-8.1C29.8 -7.3 28.9 -7.2 26.8 -7C24.5 -6.8 22.2 -6.1 22.2 -3.4C22.2 -1 24 0.2 26.2 "
    "0.2ZM27 -1.8C25.8 -1.8 25 -2.4 25 -3.4C25 -4.5 25.9 -5 27.2 -5.1C27.9 -5.2 29.4 -5.4 29.8 "
    "-5.7V-4.3C29.8 -3 28.7 -1.8 27 -1.8ZM38 -16H35.2V0H38ZM43.1 0H46.1L48.4 -8.1H48.5L50.8 0H53.7L57.1 "
    "-12H54.2L52.1 -3.6H52L49.9 -12H47L44.9 -3.6H44.8L42.6 -12H39.8ZM64.2 0.2C67 0.2 68.9 -1.1 69.4 "
    "-3.2L66.7 -3.5C66.4 -2.5 65.4 -2 64.2 -2C62.4 -2 61.2 -3.2 61.1 -5.2H69.5V-6.1C69.5 -10.3 67 -12.2 "
    "64 -12.2C60.6 -12.2 58.3 -9.6 58.3 -5.9C58.3 -2.2 60.5 0.2 64.2 0.2ZM61.1 -7.1C61.2 -8.7 62.4 -10 64 "
    "-10C65.7 -10 66.8 -8.8 66.8 -7.1ZM76.9 4.8C80.1 4.8 82.5 3.3 82.5 0.2V-12H79.7V-10H79.5C79.1 -10.9 "
    "78.2 -12.2 76.1 -12.2C73.3 -12.2 71.1 -10 71.1 -6C71.1 -2.1 73.3 -0.2 76.1 -0.2C78.1 -0.2 79.1 -1.3 "
    "79.5 -2.2H79.7V0.1C79.7 1.9 78.5 2.6 76.9 2.6C75.2 2.6 74.4 1.8 74.1 1.1L71.6 1.7C72.1 3.4 73.8 4.8 "
    "76.9 4.8ZM76.9 -2.4C75 -2.4 74 -3.8 74 -6.1C74 -8.2 75 -9.8 76.9 -9.8C78.7 -9.8 79.7 -8.3 79.7 "
    "-6.1C79.7 -3.8 78.7 -2.4 76.9 -2.4Z "
)
"""`thalweg` set in Inter SemiBold (SIL Open Font License), as outlines: an image cannot use page fonts."""

_SECTIONS = (
    "M2 5 C6 5 7 10 10 10 S14 5 17 5",
    "M4 12 C8 12 9 17 12.5 17 S17 12 21 12",
    "M7 19 C11 19 12 24 16 24 S21 19 26 19",
)
_THALWEG = "M8.5 2.5 C9 6 9.5 8 10 10 S11.5 14 12.5 17 S14.5 21 16 24 S17.5 27 18.5 29"


def icon(river: str = "#2f8fb5") -> str:
    """The mark alone as SVG, for the browser's tab."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 0 32 32" fill="none" '
        f'stroke-linecap="round">{_mark("#5c6975", river)}</svg>'
    )


def logo(ink: str, river: str = "#2f8fb5") -> str:
    """The logo as SVG, the name in the colour `ink`."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="122" height="32" viewBox="0 0 122 32" fill="none" '
        f'stroke-linecap="round">{_mark(ink, river)}'
        f'<path transform="translate(35 22)" d="{_WORD}" fill="{ink}"/></svg>'
    )


def _mark(ink: str, river: str) -> str:
    sections = "".join(
        f'<path d="{path}" stroke="{ink}" stroke-width="1.5" opacity="{0.35 + 0.15 * number:.2f}"/>'
        for number, path in enumerate(_SECTIONS)
    )
    return f'{sections}<path d="{_THALWEG}" stroke="{river}" stroke-width="2.6"/>'
