/*
 * The first bytes of files and what they are; see kind.h. A zip is also found by its end, since
 * its directory is there: what stands in front (a program that unpacks itself, a picture) does
 * not hinder who opens it.
 */
#include "engine/kind.h"

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

enum {
	TAR_MAGIC_AT = 257,
	ISO_MAGIC_AT = 0x8001,
	ZIP_END_BYTES = 22 + 65535,
	HEAD_BYTES = 1024,
	PLAIN_LOOK = 4096,
};

static const struct magic {
	size_t at;
	struct slice bytes;
	enum kind kind;
	const char *type;
} magics[] = {
	{0, BYTES("PK\3\4"), KIND_ZIP, "application/zip"},
	{0, BYTES("PK\5\6"), KIND_ZIP, "application/zip"},
	{0, BYTES("PK00PK\3\4"), KIND_ZIP, "application/zip"},
	{0, BYTES("Rar!\x1a\7"), KIND_RAR, "application/vnd.rar"},
	{0, BYTES("7z\xbc\xaf\x27\x1c"), KIND_7Z, "application/x-7z-compressed"},
	{0, BYTES("\x1f\x8b\x08"), KIND_GZIP, "application/gzip"},
	{0, BYTES("BZh"), KIND_BZIP2, "application/x-bzip2"},
	{0,
		BYTES("\xfd"
		      "7zXZ\0"),
		KIND_XZ, "application/x-xz"},
	{0, BYTES("\x28\xb5\x2f\xfd"), KIND_ZSTD, "application/zstd"},
	{0, BYTES("LZIP\1"), KIND_LZIP, "application/lzip"},
	{0, BYTES("MSCF\0\0\0\0"), KIND_CAB, "application/vnd.ms-cab-compressed"},
	{0, BYTES("070701"), KIND_CPIO, "application/x-cpio"},
	{0, BYTES("070707"), KIND_CPIO, "application/x-cpio"},
	{0, BYTES("!<arch>\n"), KIND_AR, "application/x-archive"},
	{2, BYTES("-lh5-"), KIND_LHA, "application/x-lzh-compressed"},
	{2, BYTES("-lh6-"), KIND_LHA, "application/x-lzh-compressed"},
	{2, BYTES("-lh7-"), KIND_LHA, "application/x-lzh-compressed"},
	{2, BYTES("-lh0-"), KIND_LHA, "application/x-lzh-compressed"},
	{TAR_MAGIC_AT, BYTES("ustar"), KIND_TAR, "application/x-tar"},
	{ISO_MAGIC_AT, BYTES("CD001"), KIND_ISO, "application/x-iso9660-image"},
	{0, BYTES("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), KIND_OLE, "application/x-ole-storage"},
	{0, BYTES("{\\rt"), KIND_RTF, "application/rtf"},
	{0, BYTES("\x78\x9f\x3e\x22"), KIND_TNEF, "application/ms-tnef"},
	{0, BYTES("MZ"), KIND_PROGRAM, "application/vnd.microsoft.portable-executable"},
	{0,
		BYTES("\x7f"
		      "ELF"),
		KIND_PROGRAM, "application/x-elf"},
	{0, BYTES("\xcf\xfa\xed\xfe"), KIND_PROGRAM, "application/x-mach-binary"},
	{0, BYTES("\xce\xfa\xed\xfe"), KIND_PROGRAM, "application/x-mach-binary"},
	{0, BYTES("\xca\xfe\xba\xbe"), KIND_PROGRAM, "application/x-mach-binary"},
	{0, BYTES("L\0\0\0\1\x14\2\0"), KIND_PROGRAM, "application/x-ms-shortcut"},
	{0, BYTES("\x89PNG\r\n\x1a\n"), KIND_PICTURE, "image/png"},
	{0, BYTES("\xff\xd8\xff"), KIND_PICTURE, "image/jpeg"},
	{0, BYTES("GIF8"), KIND_PICTURE, "image/gif"},
	{0, BYTES("II*\0"), KIND_PICTURE, "image/tiff"},
	{0, BYTES("MM\0*"), KIND_PICTURE, "image/tiff"},
	{8, BYTES("WEBP"), KIND_PICTURE, "image/webp"},
	{8, BYTES("WAVE"), KIND_PICTURE, "audio/vnd.wave"},
	{0, BYTES("OggS"), KIND_PICTURE, "application/ogg"},
	{0, BYTES("ID3"), KIND_PICTURE, "audio/mpeg"},
	{4, BYTES("ftyp"), KIND_PICTURE, "video/mp4"},
	{0, BYTES("FWS"), KIND_OTHER, "application/x-shockwave-flash"},
	{0, BYTES("CWS"), KIND_OTHER, "application/x-shockwave-flash"},
	{0, BYTES("wOFF"), KIND_OTHER, "font/woff"},
	{0, BYTES("wOF2"), KIND_OTHER, "font/woff2"},
};

static const struct magic *
magic_of(struct slice b)
{
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (magics[i].at < b.n && b.p[magics[i].at] == magics[i].bytes.p[0] &&
			slice_starts(slice_from(b, magics[i].at), magics[i].bytes))
			return &magics[i];
	return NULL;
}

/* DER of RFC 5652: a sequence that begins with the identifier of CMS. */
static bool
is_cms(struct slice b)
{
	static const struct slice id = BYTES("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07");
	static const struct slice authenticated =
		BYTES("\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17");
	struct slice head = slice_first(b, 32);
	return b.n != 0 && b.p[0] == '\x30' &&
	       (slice_find_slice(head, id) < head.n ||
		       slice_find_slice(head, authenticated) < head.n);
}

/* RFC 9580: packets of a session key, in either form of the header, of a sensible length. */
static bool
is_pgp(struct slice b)
{
	if (slice_starts(slice_trim(b), SLICE("-----BEGIN PGP MESSAGE-----")))
		return true;
	if (b.n < 16)
		return false;
	unsigned char tag = (unsigned char)b.p[0];
	if (tag == 0xc1 || tag == 0xc3)
		return (unsigned char)b.p[2] >= 3 && (unsigned char)b.p[2] <= 6 &&
		       (unsigned char)b.p[1] >= 4 && (unsigned char)b.p[1] < 0xe0;
	return (tag == 0x84 || tag == 0x85) && b.p[tag == 0x84 ? 2 : 3] == 3;
}

static bool
is_html(struct slice b)
{
	static const struct slice tags[] = {BYTES("<!doctype html"), BYTES("<html"),
		BYTES("<head"), BYTES("<body"), BYTES("<table"), BYTES("<script")};
	struct slice head = slice_first(b, HEAD_BYTES);
	for (;;) {
		head = slice_from(head, slice_find(head, '<'));
		if (head.n == 0)
			return false;
		for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
			if (slice_starts_nocase(head, tags[i]))
				return true;
		head = slice_from(head, 1);
	}
}

static bool
is_utf16(struct slice b)
{
	size_t zeros[2] = {0, 0}, n = b.n < PLAIN_LOOK ? b.n : PLAIN_LOOK;
	if (slice_starts(b, SLICE("\xff\xfe")) || slice_starts(b, SLICE("\xfe\xff")))
		return true;
	if (!slice_has(slice_first(b, n), '\0'))
		return false;
	for (size_t i = 0; i < n; i++)
		zeros[i % 2] += b.p[i] == '\0';
	/* ASCII in 16 bits: nearly every second byte is zero, and hardly one of the others */
	return n >= 8 && ((zeros[0] > n * 3 / 8 && zeros[1] < n / 16) ||
				 (zeros[1] > n * 3 / 8 && zeros[0] < n / 16));
}

bool
kind_is_binary(struct slice b)
{
	size_t controls = 0, n = b.n < PLAIN_LOOK ? b.n : PLAIN_LOOK;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)b.p[i];
		if (c == 0)
			return true;
		controls += c < 0x20 && c != '\t' && c != '\r' && c != '\n' && c != '\f' &&
			    c != 0x1b;
	}
	return controls > n / 20;
}

/* The directory at the end, behind whatever stands in front. */
static bool
ends_as_zip(struct slice b)
{
	struct slice tail = slice_from(b, b.n > ZIP_END_BYTES ? b.n - ZIP_END_BYTES : 0);
	while (tail.n >= 22) {
		size_t at = slice_find_slice(tail, SLICE("PK\5\6"));
		if (at + 22 > tail.n)
			return false;
		unsigned comment = (unsigned char)tail.p[at + 20] |
				   (unsigned)(unsigned char)tail.p[at + 21] << 8;
		if (at + 22 + comment == tail.n)
			return true;
		tail = slice_from(tail, at + 4);
	}
	return false;
}

enum kind
kind_of(struct slice b)
{
	const struct magic *m = magic_of(b);
	struct slice head = slice_first(b, HEAD_BYTES);
	if (m != NULL && m->kind != KIND_PROGRAM && m->kind != KIND_PICTURE)
		return m->kind;
	if (slice_find_slice(head, SLICE("%PDF-")) < head.n)
		return KIND_PDF;
	if (ends_as_zip(b))
		return KIND_ZIP;
	if (m != NULL)
		return m->kind;
	if (is_cms(b))
		return KIND_CMS;
	if (is_pgp(b))
		return KIND_PGP;
	if (is_utf16(b))
		return KIND_UTF16;
	struct slice text = slice_starts(b, SLICE("\xef\xbb\xbf")) ? slice_from(b, 3) : b;
	if (slice_starts(slice_trim(text), SLICE("<?xml")))
		return is_html(text) ? KIND_HTML : KIND_XML;
	if (is_html(text))
		return KIND_HTML;
	return KIND_UNKNOWN;
}

struct slice
kind_type(enum kind k, struct slice bytes)
{
	const struct magic *m = magic_of(bytes);
	if (m != NULL)
		return slice_of(m->type);
	switch ((int)k) {
	case KIND_ZIP: return SLICE("application/zip");
	case KIND_PDF: return SLICE("application/pdf");
	case KIND_CMS: return SLICE("application/pkcs7-mime");
	case KIND_PGP: return SLICE("application/pgp-encrypted");
	default: return SLICE_NONE;
	}
}

bool
kind_is_archive(enum kind k)
{
	return k >= KIND_ZIP && k <= KIND_ISO;
}
