/*
 * Mails out of files; see corpus.h. The files are listed when the corpus is opened, then each
 * is read through a window of fixed size: memory grows with their number alone, not with their
 * bytes. A file may change under us; what is read is then what it is at that moment.
 */
#include "main/corpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/must.h"

enum {
	WINDOW = 64 * 1024,
	LINE_LOOK = 1024, /* bytes of a line that tell whether it begins a mail */
	LIST_ARENA = 2000 * 1024 * 1024,
	WHY_MOST = 100,
};

struct corpus_file {
	const char *path, *wrong;
	uint64_t bytes;
};

/* Bytes of one file, in order. */
struct source {
	FILE *stream; /* read instead of fd */
	int fd;
	uint64_t offset; /* of window[at] in the file */
	size_t at, have;
	bool end;
	char window[WINDOW];
};

/* One who reads: its source, which file that is, the mail at hand. */
struct reader {
	struct source source;
	size_t file;
	bool open, done, mbox;
	bool loose; /* any "From " behind an empty line begins a mail */
	unsigned number;
	size_t n_mail;
	char mail[CORPUS_MAIL_MOST];
};

struct corpus {
	FILE *in; /* of a stream; NULL: files */
	struct arena *arena;
	struct corpus_file *files;
	size_t n_files, room;
	uint64_t bytes, bytes_done;
	bool full;
	struct reader next, again;
};

/* ---- the list of files ---- */

static void
list_add(struct corpus *c, const char *path, uint64_t bytes, const char *wrong)
{
	if (c->n_files == c->room) {
		c->room = c->room == 0 ? 64 : 2 * c->room;
		c->files = mem_resize(c->files, c->room * sizeof(*c->files));
	}
	c->files[c->n_files++] = (struct corpus_file){path, wrong, bytes};
	c->bytes += bytes;
}

static const char *
why(struct corpus *c, int code)
{
	return arena_printf(c->arena, "cannot be read: %.*s", WHY_MOST, strerror(code)).p;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, hidden ones left out, sorted; to be freed. NULL: it cannot be read. */
static char **
names_of(struct corpus *c, const char *path, size_t *n_out)
{
	DIR *d = opendir(path);
	char **names = NULL;
	size_t n = 0, room = 0;
	if (d == NULL)
		return NULL;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		if (e->d_name[0] == '.' || c->n_files + n >= CORPUS_FILES_MOST)
			continue;
		if (n == room) {
			room = room == 0 ? 64 : 2 * room;
			names = mem_resize(names, room * sizeof(*names));
		}
		names[n++] = arena_text(c->arena, slice_of(e->d_name));
	}
	closedir(d);
	if (n != 0)
		qsort(names, n, sizeof(*names), by_name);
	*n_out = n;
	return names != NULL ? names : mem_new(1);
}

static const char *
below(struct corpus *c, const char *folder, const char *name)
{
	size_t n = strlen(folder);
	const char *slash = n != 0 && folder[n - 1] == '/' ? "" : "/";
	return arena_printf(c->arena, "%s%s%s", folder, slash, name).p;
}

static bool
is_folder(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void list_folder(struct corpus *c, const char *path, unsigned depth);

static void
list_one(struct corpus *c, const char *path, unsigned depth)
{
	struct stat st, link;
	if (stat(path, &st) < 0 || lstat(path, &link) < 0)
		list_add(c, path, 0, why(c, errno));
	else if (S_ISDIR(st.st_mode) && S_ISLNK(link.st_mode))
		list_add(c, path, 0, "is a link to a folder");
	else if (S_ISDIR(st.st_mode))
		list_folder(c, path, depth);
	else if (!S_ISREG(st.st_mode))
		list_add(c, path, 0, "is no regular file");
	else
		list_add(c, path, (uint64_t)st.st_size, NULL);
}

static void
list_folder(struct corpus *c, const char *path, unsigned depth)
{
	const char *cur = below(c, path, "cur"), *new = below(c, path, "new");
	if (depth > CORPUS_DEPTH_MOST) {
		list_add(c, path, 0, "is too deep");
	} else if (is_folder(cur) && is_folder(new)) {
		list_folder(c, cur, depth + 1);
		list_folder(c, new, depth + 1);
	} else {
		size_t n;
		char **names = names_of(c, path, &n);
		if (names == NULL) {
			list_add(c, path, 0, why(c, errno));
			return;
		}
		for (size_t i = 0; i < n && c->n_files < CORPUS_FILES_MOST; i++)
			list_one(c, below(c, path, names[i]), depth + 1);
		if (c->n_files == CORPUS_FILES_MOST && !c->full) {
			list_add(c, path, 0, "has more files than are read");
			c->full = true;
		}
		mem_free(names);
	}
}

/* ---- bytes of a file ---- */

static void
source_fill(struct source *s)
{
	size_t left = s->have - s->at;
	memmove(s->window, s->window + s->at, left);
	s->at = 0;
	s->have = left;
	while (!s->end && s->have < WINDOW) {
		char *to = s->window + s->have;
		size_t room = WINDOW - s->have;
		ssize_t n = s->stream != NULL ? (ssize_t)fread(to, 1, room, s->stream)
					      : read(s->fd, to, room);
		if (n < 0 && errno == EINTR)
			continue;
		/* fread gives less than was asked for at the end, or where a signal ended it */
		s->end = n <= 0 || (s->stream != NULL && (size_t)n < room);
		s->have += n > 0 ? (size_t)n : 0;
	}
}

/* What can be seen from here on: at least `least` bytes, or all to the end of the file. */
static struct slice
source_look(struct source *s, size_t least)
{
	if (s->have - s->at < least && !s->end)
		source_fill(s);
	return (struct slice){s->window + s->at, s->have - s->at};
}

static void
source_skip(struct source *s, size_t n)
{
	s->at += n;
	s->offset += n;
}

static void
reader_close(struct reader *r)
{
	if (r->open && r->source.stream == NULL)
		close(r->source.fd);
	r->open = false;
}

/* ---- an mbox ---- */

static bool
is_word(const char *p, const char *const words[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(p, words[i], 3) == 0)
			return true;
	return false;
}

/* Whether "Sat Jan  1 09:05" stands somewhere in it. */
static bool
has_ctime(struct slice line)
{
	static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
		"Aug", "Sep", "Oct", "Nov", "Dec"};
	for (size_t i = 0; i + 16 <= line.n; i++) {
		const char *p = line.p + i;
		if (!is_word(p, days, 7) || p[3] != ' ' || !is_word(p + 4, months, 12))
			continue;
		size_t at = i + 7;
		while (at < line.n && (line.p[at] == ' ' || ascii_digit(line.p[at])))
			at++;
		if (at < line.n && line.p[at] == ':')
			return true;
	}
	return false;
}

static struct slice
first_line(struct slice s)
{
	struct slice line, rest;
	slice_cut(s, '\n', &line, &rest);
	return line;
}

static bool
begins_mail(const struct reader *r, struct slice seen)
{
	return slice_starts(seen, SLICE("From ")) &&
	       (r->loose || has_ctime(slice_first(first_line(seen), LINE_LOOK)));
}

static void
take(struct reader *r, struct slice s)
{
	s = slice_first(s, CORPUS_MAIL_MOST - r->n_mail);
	if (s.n != 0)
		memcpy(r->mail + r->n_mail, s.p, s.n);
	r->n_mail += s.n;
}

/* The rest of a line with its LF; kept: it belongs to the mail. */
static void
pass_line(struct reader *r, bool kept)
{
	bool done = false;
	while (!done) {
		struct slice seen = source_look(&r->source, 1);
		size_t n = slice_find(seen, '\n');
		done = seen.n == 0 || n < seen.n;
		n = n < seen.n ? n + 1 : n;
		if (kept)
			take(r, slice_first(seen, n));
		source_skip(&r->source, n);
	}
}

static bool
is_quoted_from(struct slice seen)
{
	size_t n = 0;
	while (n < seen.n && n < LINE_LOOK && seen.p[n] == '>')
		n++;
	return n != 0 && slice_starts(slice_from(seen, n), SLICE("From "));
}

/* From behind its "From " line to the next one, or the end. */
static void
read_mbox_mail(struct reader *r)
{
	bool empty = false;  /* the line before was */
	size_t n_before = 0; /* bytes before that one: the separator's own */
	for (;;) {
		struct slice seen = source_look(&r->source, LINE_LOOK);
		if (seen.n == 0 || (empty && begins_mail(r, seen)))
			break;
		empty = seen.p[0] == '\n' || slice_starts(seen, SLICE("\r\n"));
		n_before = r->n_mail;
		if (is_quoted_from(seen))
			source_skip(&r->source, 1);
		pass_line(r, true);
	}
	if (empty)
		r->n_mail = n_before;
}

/* ---- mails ---- */

static bool
is_field(struct slice line)
{
	size_t n = 0;
	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
		colon++;
	return n != 0 && colon < line.n && line.p[colon] == ':';
}

/* NULL: it is a mail. Empty lines before it are forgiven. */
static const char *
what_is_wrong(struct slice mail)
{
	struct slice line = SLICE_NONE, rest = mail;
	while (rest.n != 0 && slice_trim(line).n == 0)
		slice_cut(rest, '\n', &line, &rest);
	if (slice_trim(line).n == 0)
		return "is empty";
	while (slice_trim(line).n != 0) {
		if (is_field(line))
			return NULL;
		slice_cut(rest, '\n', &line, &rest);
	}
	return "is no mail: there is no header field";
}

static void
give(const struct corpus *c, struct reader *r, uint64_t offset, struct corpus_mail *out)
{
	const char *path = c->in != NULL ? "-" : c->files[r->file].path;
	struct slice mail = {r->mail, r->n_mail};
	const char *wrong = what_is_wrong(mail);
	*out = (struct corpus_mail){.path = path,
		.number = r->mbox ? r->number : 0,
		.wrong = wrong,
		.bytes = wrong == NULL ? mail : SLICE_NONE,
		.place = {offset, (uint32_t)r->file, r->number}};
}

/* The next mail of the file that is open; false: there is none. */
static bool
read_mail(const struct corpus *c, struct reader *r, struct corpus_mail *out)
{
	uint64_t offset = r->source.offset;
	struct slice seen = source_look(&r->source, LINE_LOOK);
	if (seen.n == 0 && (r->mbox || r->done))
		return false;
	r->n_mail = 0;
	r->number++;
	if (r->mbox) {
		pass_line(r, false);
		read_mbox_mail(r);
	} else {
		/* Of a file the rest is not read; who writes to a pipe wants to be read. */
		while (seen.n != 0 && (r->n_mail < CORPUS_MAIL_MOST || c->in != NULL)) {
			take(r, seen);
			source_skip(&r->source, seen.n);
			seen = source_look(&r->source, 1);
		}
		source_skip(&r->source, r->source.have - r->source.at);
		r->source.end = true;
		r->done = true;
	}
	give(c, r, offset, out);
	return true;
}

static void
reader_start(struct reader *r, FILE *stream, int fd)
{
	struct source *s = &r->source;
	s->stream = stream;
	s->fd = fd;
	s->offset = 0;
	s->at = s->have = 0;
	s->end = false;
	r->open = true;
	r->done = false;
	r->number = 0;
	struct slice seen = source_look(s, LINE_LOOK);
	r->mbox = slice_starts(seen, SLICE("From "));
	r->loose = r->mbox && !has_ctime(slice_first(first_line(seen), LINE_LOOK));
}

/* NULL: it is open; else why not. */
static const char *
reader_open(struct corpus *c, struct reader *r, size_t file)
{
	const struct corpus_file *f = &c->files[file];
	struct stat st;
	reader_close(r);
	r->file = file;
	if (f->wrong != NULL)
		return f->wrong;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return why(c, errno);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return "is no regular file";
	}
	reader_start(r, NULL, fd);
	return NULL;
}

static bool
next_of_stream(struct corpus *c, struct corpus_mail *out)
{
	if (!c->next.open)
		reader_start(&c->next, c->in, -1);
	return read_mail(c, &c->next, out);
}

bool
corpus_next(struct corpus *c, struct corpus_mail *out)
{
	struct reader *r = &c->next;
	if (c->in != NULL)
		return next_of_stream(c, out);
	while (r->file < c->n_files) {
		const char *wrong = r->open ? NULL : reader_open(c, r, r->file);
		if (wrong == NULL && read_mail(c, r, out))
			return true;
		reader_close(r);
		size_t file = r->file++;
		c->bytes_done += c->files[file].bytes;
		if (wrong != NULL) {
			*out = (struct corpus_mail){.path = c->files[file].path,
				.wrong = wrong,
				.place = {0, (uint32_t)file, 0}};
			return true;
		}
	}
	return false;
}

bool
corpus_read(struct corpus *c, struct corpus_place place, struct corpus_mail *out)
{
	struct reader *r = &c->again;
	struct source *s = &r->source;
	must(c->in == NULL && place.file < c->n_files);
	*out = (struct corpus_mail){
		.path = c->files[place.file].path, .wrong = "cannot be read", .place = place};
	if ((!r->open || r->file != place.file) && reader_open(c, r, place.file) != NULL)
		return false;
	if (place.offset >= s->offset && place.offset - s->offset <= s->have - s->at) {
		source_skip(s, (size_t)(place.offset - s->offset));
	} else {
		if (lseek(s->fd, (off_t)place.offset, SEEK_SET) < 0)
			return false;
		s->offset = place.offset;
		s->at = s->have = 0;
		s->end = r->done = false;
	}
	r->number = place.number - 1;
	return read_mail(c, r, out) && out->wrong == NULL;
}

struct corpus *
corpus_open(const char *path, FILE *in, struct err *err)
{
	struct corpus *c = MEM_NEW(struct corpus);
	struct stat st;
	c->arena = arena_new(LIST_ARENA);
	if (strcmp(path, "-") == 0) {
		c->in = in;
		return c;
	}
	if (stat(path, &st) < 0) {
		err_sys(err, "cannot read %s", path);
		corpus_free(&c);
		return NULL;
	}
	const char *kept = arena_text(c->arena, slice_of(path));
	if (S_ISDIR(st.st_mode))
		list_folder(c, kept, 0);
	else
		list_one(c, kept, 0);
	return c;
}

void
corpus_free(struct corpus **c)
{
	if (*c == NULL)
		return;
	reader_close(&(*c)->next);
	reader_close(&(*c)->again);
	mem_free((*c)->files);
	arena_free(&(*c)->arena);
	mem_free(*c);
	*c = NULL;
}

struct corpus_progress
corpus_progress(const struct corpus *c)
{
	if (c->in != NULL)
		return (struct corpus_progress){0};
	return (struct corpus_progress){c->n_files, c->bytes, c->next.file, c->bytes_done};
}
