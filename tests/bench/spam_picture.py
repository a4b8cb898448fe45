"""ROC curves as a PNG (W3C PNG, 8-bit RGB), without any library for pictures.

Both axes are logarithmic, from 0.01 % to 100 %: ham lost to the right, spam missed upwards, so that
the better curve is the lower one, further to the left.
"""
import math
import struct
import zlib

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 900, 720, 80, 30, 20, 60
LEAST = 1e-4
COLOURS = ((0, 90, 200), (200, 60, 0), (0, 140, 60), (140, 0, 160), (150, 120, 0), (0, 140, 160),
           (90, 90, 90), (220, 0, 90), (100, 60, 20), (60, 60, 220))
# 3 x 5 dots, a row an octal digit, from the top.
FONT = dict(zip(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-+/%():",
    "25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 65555 25552 "
    "65644 25563 65655 34216 72222 55557 55552 55775 55255 55222 71247 75557 26227 71747 71317 "
    "55711 74716 74757 71111 75757 75717 00002 00024 00700 02720 11244 51245 12221 42224 02020"
    .split()))


class Picture:
    def __init__(self):
        self.dots = bytearray(b"\xff" * (3 * WIDTH * HEIGHT))

    def dot(self, x, y, colour):
        if 0 <= x < WIDTH and 0 <= y < HEIGHT:
            at = 3 * (y * WIDTH + x)
            self.dots[at:at + 3] = bytes(colour)

    def line(self, x0, y0, x1, y1, colour, width=1, dash=0):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(steps + 1):
            x, y = x0 + (x1 - x0) * i // steps, y0 + (y1 - y0) * i // steps
            if dash and (x + y) // dash % 2:
                continue
            for k in range(width * width):
                self.dot(x + k % width, y + k // width, colour)

    def text(self, x, y, text, colour=(0, 0, 0), size=2):
        for letter in text.upper():
            for row, bits in enumerate(FONT.get(letter, "00000")):
                for column in range(3):
                    if int(bits) >> (2 - column) & 1:
                        for k in range(size * size):
                            self.dot(x + column * size + k % size, y + row * size + k // size,
                                     colour)
            x += 4 * size

    def png(self):
        def chunk(kind, data):
            return (struct.pack(">I", len(data)) + kind + data
                    + struct.pack(">I", zlib.crc32(kind + data)))
        rows = b"".join(b"\0" + self.dots[3 * WIDTH * y:3 * WIDTH * (y + 1)]
                        for y in range(HEIGHT))
        return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2,
                                                                 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def place(part, begin, end):
    """A part of 1 on a logarithmic axis; what is less than the least is at its end."""
    return round(begin + (end - begin) * math.log(max(part, LEAST) / LEAST) / -math.log(LEAST))


def axes(picture):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    grey = (215, 215, 215)
    for decade in range(5):
        for factor in range(1, 10):
            part = LEAST * 10 ** decade * factor
            if part > 1:
                break
            x, y = place(part, LEFT, right), place(part, bottom, TOP)
            shade = (170, 170, 170) if factor == 1 else grey
            picture.line(x, TOP, x, bottom, shade, dash=0 if factor == 1 else 2)
            picture.line(LEFT, y, right, y, shade, dash=0 if factor == 1 else 2)
        label = f"{100 * LEAST * 10 ** decade:g}%"
        picture.text(place(LEAST * 10 ** decade, LEFT, right) - 4 * len(label), bottom + 10, label)
        picture.text(8, place(LEAST * 10 ** decade, bottom, TOP) - 5, label)
    picture.text(LEFT + 250, bottom + 34, "ham lost (0.01% and less at the left end)")
    picture.text(LEFT, 10, "spam missed")


def between(points):
    """With points between those that differ in both ways: mails with one score are no order, and
    what a threshold among them would reach is a straight line only where axes are linear."""
    parts = [10 ** (k / 20) for k in range(-100, -6)]
    parts += [1 - part for part in reversed(parts)]
    yield points[0]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 != x1 and y0 != y1:
            yield from ((x0 + (x1 - x0) * part, y0 + (y1 - y0) * part) for part in parts)
        yield x1, y1


def draw(path, title, judged):
    """One curve for each; the order of the list is that of colours and legend."""
    picture = Picture()
    axes(picture)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for number, one in enumerate(judged):
        colour, at = COLOURS[number % len(COLOURS)], None
        dash = 0 if number < len(COLOURS) // 2 else 6
        for lost, missed in between([(0, 1), *one.curve()]):
            to = place(lost, LEFT, right), place(missed, bottom, TOP)
            if at:
                picture.line(*at, *to, colour, 2, dash)
            at = to
        y = TOP + 14 + 18 * number
        picture.line(right - 330, y + 4, right - 300, y + 4, colour, 3, dash)
        picture.text(right - 290, y, one.name, colour)
    picture.text(LEFT + 160, 10, title)
    with open(path, "wb") as f:
        f.write(picture.png())
