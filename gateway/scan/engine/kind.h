/*
 * What a file is by its content: by its first bytes, as programs that open it would tell, never
 * by its name or what a sender declares. Media types are those that libclamav's findings are
 * given too (virus.c).
 */
#ifndef ENGINE_KIND_H
#define ENGINE_KIND_H

#include "base/slice.h"

enum kind {
	KIND_UNKNOWN, /* perhaps text */
	KIND_ZIP,
	KIND_RAR,
	KIND_7Z,
	KIND_TAR,
	KIND_GZIP,
	KIND_BZIP2,
	KIND_XZ,
	KIND_ZSTD,
	KIND_LZIP,
	KIND_CAB,
	KIND_CPIO,
	KIND_AR,
	KIND_LHA,
	KIND_ISO,
	KIND_PDF,
	KIND_OLE, /* Word, Excel, Outlook as they were; also encrypted new ones */
	KIND_RTF,
	KIND_TNEF,
	KIND_CMS, /* S/MIME, DER */
	KIND_PGP, /* armoured or binary, encrypted */
	KIND_HTML,
	KIND_XML,
	KIND_UTF16, /* or 32, by its mark or its zeros */
	KIND_PROGRAM,
	KIND_PICTURE, /* also sound and film: no text */
	KIND_OTHER,   /* known not to be text */
	KIND_KINDS
};

enum kind kind_of(struct slice bytes);
/* The media type; empty: the content does not tell. */
struct slice kind_type(enum kind k, struct slice bytes);
bool kind_is_archive(enum kind k);
/* Whether it holds bytes that no text has. */
bool kind_is_binary(struct slice bytes);

#endif
