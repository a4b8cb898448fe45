/*
 * Whether a document in an OLE storage is encrypted: new ones as a stream EncryptedPackage
 * (MS-OFFCRYPTO), Word and Excel as they were by a flag or a record at the front of their
 * stream, which begins on a sector (MS-DOC 2.5.2, MS-XLS 2.4.117).
 */
#include "engine/document.h"

enum { SECTOR = 512, FIB_FLAGS = 10, BOF_BYTES = 20 };

static bool
word_is_encrypted(struct slice sector)
{
	return slice_starts(sector, SLICE("\xec\xa5")) && sector.n > FIB_FLAGS + 1 &&
	       ((unsigned char)sector.p[FIB_FLAGS + 1] & 1) != 0;
}

static bool
excel_is_encrypted(struct slice sector)
{
	return slice_starts(sector, SLICE("\x09\x08\x10\x00\x00\x06")) &&
	       slice_starts(slice_from(sector, BOF_BYTES), SLICE("\x2f\x00"));
}

bool
document_ole_encrypted(struct slice ole)
{
	if (slice_find_slice(ole, SLICE("E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e")) <
		ole.n)
		return true;
	for (struct slice s = slice_from(ole, SECTOR); s.n >= SECTOR; s = slice_from(s, SECTOR))
		if (word_is_encrypted(s) || excel_is_encrypted(s))
			return true;
	return false;
}
