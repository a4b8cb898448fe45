/*
 * Members of archives out of memory; see archive.h. Only formats that libarchive reads by
 * itself: it starts no program. A document is a zip too: its members are text for document.h,
 * their markup is not searched.
 */
#include "engine/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/buf.h"
#include "base/must.h"

enum { BLOCK_BYTES = 64 * 1024, ERRORS_MOST = 100 };

struct reading {
	struct look *look;
	const struct look_file *file;
	struct look_found *found;
	struct archive *archive;
	bool compressed, package;
	uint64_t unpacked; /* of this archive */
	unsigned members, errors;
};

static struct archive *
open_archive(enum kind k, struct slice bytes)
{
	struct archive *a = archive_read_new();
	must(a != NULL);
	switch ((int)k) {
	case KIND_ZIP: archive_read_support_format_zip_seekable(a); break;
	case KIND_RAR:
		archive_read_support_format_rar(a);
		archive_read_support_format_rar5(a);
		break;
	case KIND_7Z: archive_read_support_format_7zip(a); break;
	case KIND_CAB: archive_read_support_format_cab(a); break;
	case KIND_CPIO: archive_read_support_format_cpio(a); break;
	case KIND_AR: archive_read_support_format_ar(a); break;
	case KIND_LHA: archive_read_support_format_lha(a); break;
	case KIND_ISO: archive_read_support_format_iso9660(a); break;
	case KIND_TAR: archive_read_support_format_tar(a); break;
	default:
		archive_read_support_filter_gzip(a);
		archive_read_support_filter_bzip2(a);
		archive_read_support_filter_xz(a);
		archive_read_support_filter_zstd(a);
		archive_read_support_filter_lzip(a);
		/* What comes out is looked at as a file: libarchive takes zeros for a tar. */
		archive_read_support_format_raw(a);
		break;
	}
	if (archive_read_open_memory(a, bytes.p, bytes.n) == ARCHIVE_OK)
		return a;
	archive_read_free(a);
	return NULL;
}

static bool
says(struct reading *r, const char *word)
{
	const char *text = archive_error_string(r->archive);
	return text != NULL && strstr(text, word) != NULL;
}

/* What a failure of libarchive means. False: no further member can be read. */
static bool
failed(struct reading *r, int code)
{
	struct look *l = r->look;
	if (archive_read_has_encrypted_entries(r->archive) > 0 || says(r, "ncrypt") ||
		says(r, "assphrase")) {
		r->found->encrypted = true;
		look_encrypted(l, "an encrypted archive");
	} else if (says(r, "nsupported") || says(r, "not supported")) {
		look_unread(l, "an archive packed in a way that is not read");
	} else {
		look_unread(l, "a damaged archive");
		look_unscannable(l, SCAN_REASON_BROKEN, "a damaged archive");
	}
	return code != ARCHIVE_FATAL && ++r->errors < ERRORS_MOST;
}

static bool
over(struct reading *r, enum scan_reason reason, const char *why)
{
	look_unscannable(r->look, reason, why);
	look_unread(r->look, why);
	r->look->over = true;
	return false;
}

/* Whether n more bytes may be unpacked. */
static bool
fits(struct reading *r, size_t member, size_t n)
{
	struct look *l = r->look;
	r->unpacked += n;
	l->unpacked += n;
	if (member + n > LOOK_FILE_BYTES || l->unpacked > LOOK_BYTES_MOST)
		return over(r, SCAN_REASON_BYTES, "too large when unpacked");
	if (r->unpacked > LOOK_RATIO_FREE && r->unpacked / LOOK_RATIO_MOST > r->file->bytes.n)
		return over(r, SCAN_REASON_BYTES, "packed too well to be honest");
	return !look_late(l);
}

/* 1: the member's bytes are in data. 0: go on without it. -1: stop. */
static int
read_member(struct reading *r, struct buf *data)
{
	for (;;) {
		char *room = buf_reserve(data, BLOCK_BYTES);
		if (room == NULL) {
			over(r, SCAN_REASON_BYTES, "too large when unpacked");
			return -1;
		}
		la_ssize_t n = archive_read_data(r->archive, room, BLOCK_BYTES);
		if (n == 0)
			return 1;
		if (n < 0 && n != ARCHIVE_WARN && n != ARCHIVE_RETRY)
			return failed(r, (int)n) ? 1 : -1; /* what came before is looked at */
		if (n < 0) {
			if (++r->errors >= ERRORS_MOST)
				return failed(r, ARCHIVE_FATAL) ? 1 : -1;
			continue;
		}
		if (!fits(r, buf_slice(data).n, (size_t)n))
			return -1;
		buf_commit(data, (size_t)n);
	}
}

static struct slice
member_name(struct reading *r, struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);
	if (name == NULL)
		name = archive_entry_pathname(e);
	struct slice s = arena_slice(r->look->arena, slice_of(name));
	if (!r->compressed || (s.n != 0 && !slice_eq(s, SLICE("data"))))
		return s;
	/* "letter.doc.gz": what it is called when unpacked */
	struct slice outer = r->file->name;
	size_t dot = slice_find_last(outer, '.');
	return dot < outer.n ? slice_first(outer, dot) : outer;
}

static bool
one_member(struct reading *r, struct archive_entry *e)
{
	struct look *l = r->look;
	struct look_found found = {.encrypted = false};
	struct look_file f = {.name = member_name(r, e), .depth = r->file->depth + 1};
	r->members++;
	if (++l->files > LOOK_FILES_MOST)
		return over(r, SCAN_REASON_PARTS, "too many files inside");
	if (archive_entry_filetype(e) == AE_IFDIR)
		return true;
	if (archive_entry_is_encrypted(e) > 0) {
		found.encrypted = r->found->encrypted = true;
		look_encrypted(l, "an encrypted archive");
		look_attach(l, f.name, &f, &found);
		return true;
	}
	struct buf data;
	buf_init(&data, LOOK_FILE_BYTES + BLOCK_BYTES);
	int read = read_member(r, &data);
	if (read >= 0) {
		f.bytes = buf_slice(&data);
		look_file(l, &f, &found);
		r->found->encrypted |= found.encrypted;
	}
	look_attach(l, f.name, &f, &found);
	buf_fini(&data);
	return read >= 0;
}

static void
read_members(struct reading *r)
{
	for (;;) {
		struct archive_entry *e;
		int code = archive_read_next_header(r->archive, &e);
		if (code == ARCHIVE_EOF) {
			if (archive_read_has_encrypted_entries(r->archive) > 0) {
				r->found->encrypted = true;
				look_encrypted(r->look, "an encrypted archive");
			}
			return;
		}
		if (code == ARCHIVE_OK || code == ARCHIVE_WARN) {
			if (!one_member(r, e) || r->look->over)
				return;
		} else if (!failed(r, code)) {
			return;
		}
	}
}

/* Documents are zips with a table of contents. */
static struct slice
package_type(struct slice zip)
{
	static const struct {
		const char *member, *type;
	} types[] = {
		{"word/document.xml", "application/"
				      "vnd.openxmlformats-officedocument.wordprocessingml."
				      "document"},
		{"xl/workbook.xml",
			"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
		{"xl/workbook.bin", "application/vnd.ms-excel.sheet.binary.macroenabled.12"},
		{"ppt/presentation.xml", "application/"
					 "vnd.openxmlformats-officedocument.presentationml."
					 "presentation"},
		{"mimetypeapplication/vnd.oasis.opendocument.text",
			"application/vnd.oasis.opendocument.text"},
		{"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
			"application/vnd.oasis.opendocument.spreadsheet"},
		{"mimetypeapplication/vnd.oasis.opendocument.presentation",
			"application/vnd.oasis.opendocument.presentation"},
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (slice_find_slice(zip, slice_of(types[i].member)) < zip.n)
			return slice_of(types[i].type);
	return SLICE_NONE;
}

static bool
has(struct slice s, const char *word)
{
	return slice_find_slice(s, slice_of(word)) < s.n;
}

void
archive_look(
	struct look *l, const struct look_file *f, enum kind k, struct look_found *found_out)
{
	if (l->over)
		return; /* which was told */
	struct reading r = {.look = l,
		.file = f,
		.found = found_out,
		.compressed = k >= KIND_GZIP && k <= KIND_LZIP,
		.archive = open_archive(k, f->bytes)};
	if (k == KIND_ZIP && (has(f->bytes, "[Content_Types].xml") ||
				     (has(f->bytes, "META-INF/manifest.xml") &&
					     has(f->bytes, "content.xml")))) {
		struct slice type = package_type(f->bytes);
		r.package = true;
		if (type.n != 0)
			found_out->type = type;
		if (has(f->bytes, "xl/workbook.bin"))
			look_unread(l, "a document of a kind that is not read");
	}
	if (r.archive == NULL) {
		look_unread(l, "a damaged archive");
		look_unscannable(l, SCAN_REASON_BROKEN, "a damaged archive");
		return;
	}
	unsigned outside = l->members_of_package;
	l->members_of_package = r.package;
	read_members(&r);
	l->members_of_package = outside;
	archive_read_free(r.archive);
}
