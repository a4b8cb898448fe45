#!/usr/bin/python3
"""make.py: writes overlapping.zip, whose 300 members of 1 MiB share the bytes of one."""
import pathlib
import struct
import zlib


def overlapping(count):
    """A zip whose members share one body, each quoting the headers behind its own (Fifield)."""
    kernel = b"\0" * (1 << 20)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeeze.compress(kernel) + squeeze.flush()
    plain, headers, files = kernel, [], b""
    for n in range(count, 0, -1):
        name = b"%06d" % n
        crc = zlib.crc32(plain)
        sizes = struct.pack("<III", crc, len(data), len(plain))
        local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes \
            + struct.pack("<HH", len(name), 0) + name
        headers.append((sizes, name, len(local) + len(data)))
        files = local + data
        data = b"\0" + struct.pack("<HH", len(local), len(local) ^ 0xffff) + files
        plain = local + plain
    directory = b"".join(b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
                         + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(files) - behind)
                         + name for sizes, name, behind in reversed(headers))
    return files + directory + b"PK\5\6" + struct.pack(
        "<HHHHIIH", 0, 0, count, count, len(directory), len(files), 0)


if __name__ == "__main__":
    (pathlib.Path(__file__).parent / "overlapping.zip").write_bytes(overlapping(300))
