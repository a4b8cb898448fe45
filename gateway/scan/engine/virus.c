/*
 * Scanning by libclamav. What is over its limits is told as such (the sizes are counted here:
 * libclamav calls a member that it did not look at clean), and one engine has one set of
 * options, since its cache of clean files does not keep them apart.
 */
#include "engine/virus.h"

#include <clamav.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "engine/hash.h"
#include "engine/names.h"
#include "engine/signatures.h"

enum { HURRY_MS = 5000 };

struct virus_engine {
	struct cl_engine *cl;
	struct virus_limits limits;
	unsigned signatures;
	uint64_t fingerprint;
};

/* Of one scan: what the callback notes. */
struct scan_notes {
	const struct virus_limits *limits;
	struct arena *arena;
	struct scan_report *report;
	uint64_t unpacked;
	unsigned files;
	const char *over; /* the limit that was passed, or NULL */
	enum scan_reason reason;
	bool hash;
};

const struct virus_limits virus_limits_default = {
	.scan_bytes = 400u * 1024 * 1024,
	.file_bytes = 100u * 1024 * 1024,
	.files = 10000,
	.depth = 16,
	.time_ms = 60 * 1000,
};

/* libclamav's names of what it recognises by content, as media types. */
static const struct {
	const char *cl, *media;
} types[] = {
	{"CL_TYPE_MSEXE", "application/vnd.microsoft.portable-executable"},
	{"CL_TYPE_ELF", "application/x-elf"},
	{"CL_TYPE_MACHO", "application/x-mach-binary"},
	{"CL_TYPE_ZIP", "application/zip"},
	{"CL_TYPE_RAR", "application/vnd.rar"},
	{"CL_TYPE_7Z", "application/x-7z-compressed"},
	{"CL_TYPE_GZ", "application/gzip"},
	{"CL_TYPE_BZ", "application/x-bzip2"},
	{"CL_TYPE_XZ", "application/x-xz"},
	{"CL_TYPE_POSIX_TAR", "application/x-tar"},
	{"CL_TYPE_OLD_TAR", "application/x-tar"},
	{"CL_TYPE_MSCAB", "application/vnd.ms-cab-compressed"},
	{"CL_TYPE_ISO9660", "application/x-iso9660-image"},
	{"CL_TYPE_ARJ", "application/x-arj"},
	{"CL_TYPE_PDF", "application/pdf"},
	{"CL_TYPE_RTF", "application/rtf"},
	{"CL_TYPE_MSOLE2", "application/x-ole-storage"},
	{"CL_TYPE_OOXML_WORD",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"CL_TYPE_OOXML_XL",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"CL_TYPE_OOXML_PPT",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"CL_TYPE_HTML", "text/html"},
	{"CL_TYPE_SCRIPT", "text/x-script"},
	{"CL_TYPE_GIF", "image/gif"},
	{"CL_TYPE_PNG", "image/png"},
	{"CL_TYPE_JPEG", "image/jpeg"},
	{"CL_TYPE_TIFF", "image/tiff"},
	{"CL_TYPE_SWF", "application/x-shockwave-flash"},
	{"CL_TYPE_LNK", "application/x-ms-shortcut"},
	{"CL_TYPE_MAIL", "message/rfc822"},
	{"CL_TYPE_TNEF", "application/ms-tnef"},
};

static struct slice
media_type(const char *cl)
{
	for (size_t i = 0; cl != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].cl, cl) == 0)
			return slice_of(types[i].media);
	return SLICE("application/octet-stream");
}

static void
over(struct scan_notes *n, enum scan_reason reason, const char *why)
{
	n->reason = reason;
	n->over = why;
}

/* Once for each name and size: look.h has been at what it could open. */
static void
add_member(struct scan_notes *n, struct slice name, struct slice type, struct slice bytes,
	unsigned level)
{
	struct scan_report *r = n->report;
	for (size_t i = 0; i < r->n_attachments; i++) {
		struct scan_attachment *a = &r->attachments[i];
		if (a->bytes != bytes.n || !slice_eq(a->name, name))
			continue;
		if (slice_eq(a->type, SLICE("application/octet-stream")))
			a->type = type;
		return;
	}
	if (r->n_attachments >= SCAN_ATTACHMENTS_MOST)
		return;
	struct scan_attachment *a = &r->attachments[r->n_attachments++];
	*a = (struct scan_attachment){.name = arena_slice(n->arena, name),
		.type = type,
		.bytes = bytes.n,
		.depth = level,
		.hashed = n->hash && bytes.p != NULL};
	if (a->hashed)
		hash_sha256(bytes, a->sha256);
}

static cl_error_t
on_file(int fd, const char *type, const char **ancestors, size_t parent_size, const char *name,
	size_t size, const char *bytes, uint32_t level, uint32_t attributes, void *context)
{
	struct scan_notes *n = context;
	(void)fd;
	(void)ancestors;
	(void)parent_size;
	if ((attributes & LAYER_ATTRIBUTES_NORMALIZED) != 0)
		return CL_CLEAN; /* libclamav's own rewriting, not a file of the mail */
	n->unpacked += size;
	n->files++;
	if (size > n->limits->file_bytes || n->unpacked > n->limits->scan_bytes)
		over(n, SCAN_REASON_BYTES, "too large when unpacked");
	else if (n->files > n->limits->files)
		over(n, SCAN_REASON_PARTS, "too many files inside");
	else if (level > n->limits->depth)
		over(n, SCAN_REASON_DEPTH, "nested too deep");
	if (level != 0 && name != NULL)
		add_member(n, plain_name(slice_of(name)), media_type(type),
			(struct slice){bytes, bytes != NULL ? size : 0}, level);
	return CL_CLEAN;
}

static int
cl_failed(struct err *err, const char *what, cl_error_t code)
{
	return err_set(err, "libclamav: %s: %s", what, cl_strerror(code));
}

static cl_error_t
set_limits(struct cl_engine *cl, const struct virus_limits *l, const char *tmp_dir)
{
	const struct {
		enum cl_engine_field field;
		long long value;
	} numbers[] = {
		{CL_ENGINE_MAX_SCANSIZE, (long long)l->scan_bytes},
		{CL_ENGINE_MAX_FILESIZE, (long long)l->file_bytes},
		{CL_ENGINE_MAX_FILES, l->files},
		{CL_ENGINE_MAX_RECURSION, l->depth},
		{CL_ENGINE_MAX_SCANTIME, l->time_ms},
		{CL_ENGINE_DISABLE_CACHE, 1},
	};
	cl_error_t result = cl_engine_set_str(cl, CL_ENGINE_TMPDIR, tmp_dir);
	for (size_t i = 0; result == CL_SUCCESS && i < sizeof(numbers) / sizeof(numbers[0]);
		i++)
		result = cl_engine_set_num(cl, numbers[i].field, numbers[i].value);
	return result;
}

struct virus_engine *
virus_engine_new(const char *database, const char *tmp_dir, const struct virus_limits *limits,
	struct err *err)
{
	cl_error_t result = cl_init(CL_INIT_DEFAULT);
	if (result != CL_SUCCESS) {
		cl_failed(err, "start", result);
		return NULL;
	}
	struct virus_engine *e = MEM_NEW(struct virus_engine);
	e->limits = *limits;
	e->cl = cl_engine_new();
	must(e->cl != NULL);
	result = set_limits(e->cl, limits, tmp_dir);
	cl_engine_set_clcb_file_inspection(e->cl, on_file);
	/* Of the files before they are loaded: where they change meanwhile, the fingerprint is
	 * of the older set, and a mail that was scanned with the newer is scanned once more. */
	if (database != NULL)
		e->fingerprint = signatures_fingerprint(database);
	if (result == CL_SUCCESS && database != NULL)
		result = cl_load(database, e->cl, &e->signatures, CL_DB_STDOPT);
	if (result == CL_SUCCESS)
		result = cl_engine_compile(e->cl);
	if (result != CL_SUCCESS) {
		cl_failed(err, database != NULL ? database : "compile", result);
		virus_engine_free(&e);
	} else if (database != NULL && e->signatures == 0) {
		err_set(err, "libclamav: %s: holds no signature", database);
		virus_engine_free(&e);
	}
	return e;
}

void
virus_engine_free(struct virus_engine **e)
{
	if (*e == NULL)
		return;
	cl_engine_free((*e)->cl);
	mem_free(*e);
	*e = NULL;
}

unsigned
virus_engine_signatures(const struct virus_engine *e)
{
	return e->signatures;
}

uint64_t
virus_engine_fingerprint(const struct virus_engine *e)
{
	return e->fingerprint;
}

/* libclamav reports limits as names of their own, as if they were viruses, or without any name.
 */
static bool
is_limit(const char *name)
{
	return name == NULL || strncmp(name, "Heuristics.Limits.Exceeded", 26) == 0;
}

static enum scan_reason
limit_reason(const char *name)
{
	return strstr(name, "Recursion") != NULL  ? SCAN_REASON_DEPTH
	       : strstr(name, "MaxFiles") != NULL ? SCAN_REASON_PARTS
	       : strstr(name, "Time") != NULL     ? SCAN_REASON_TIME
						  : SCAN_REASON_BYTES;
}

void
virus_engine_scan(struct virus_engine *e, struct slice mail, bool hash, struct arena *a,
	struct scan_report *r)
{
	struct cl_scan_options options = {.parse = ~0u,
		.general = CL_SCAN_GENERAL_HEURISTICS,
		.heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX};
	struct scan_notes notes = {.limits = &e->limits, .arena = a, .report = r, .hash = hash};
	const char *virus = NULL;
	unsigned long scanned = 0;
	bool over_already = r->status == SCAN_UNSCANNABLE && r->reason != SCAN_REASON_PATTERN &&
			    r->reason != SCAN_REASON_BROKEN;
	bool hurry = over_already && e->limits.time_ms > HURRY_MS;
	if (hurry)
		(void)cl_engine_set_num(e->cl, CL_ENGINE_MAX_SCANTIME, HURRY_MS);
	cl_fmap_t *map = cl_fmap_open_memory(mail.n != 0 ? mail.p : "", mail.n);
	must(map != NULL);
	cl_error_t result =
		cl_scanmap_callback(map, NULL, &virus, &scanned, e->cl, &options, &notes);
	cl_fmap_close(map);
	if (hurry)
		(void)cl_engine_set_num(e->cl, CL_ENGINE_MAX_SCANTIME, e->limits.time_ms);
	if (result == CL_VIRUS && !is_limit(virus)) {
		r->status = SCAN_INFECTED;
		r->virus = arena_slice(a, slice_of(virus));
	} else if (over_already) {
		return; /* and why is known */
	} else if (result == CL_VIRUS || notes.over != NULL || result == CL_ETIMEOUT) {
		r->status = SCAN_UNSCANNABLE;
		r->reason = notes.over != NULL   ? notes.reason
			    : virus != NULL      ? limit_reason(virus)
			    : result == CL_VIRUS ? SCAN_REASON_BYTES
						 : SCAN_REASON_TIME;
		r->why = arena_slice(
			a, slice_of(notes.over != NULL   ? notes.over
				    : virus != NULL      ? virus
				    : result == CL_VIRUS ? "a limit of libclamav was passed"
							 : "scanning took too long"));
	} else if (result != CL_CLEAN && result != CL_SUCCESS) {
		r->status = SCAN_FAILED;
		r->why = arena_slice(a, slice_of(cl_strerror(result)));
	}
}
