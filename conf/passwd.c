/*
 * Reads and writes the users' file; see passwd.h for its lines. A new file is written beside
 * the old one, brought to the disk and renamed over it: whoever reads sees the old or the new
 * one, whole. The name of the new one is also the lock of those who write.
 */
#include "conf/passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "conf/file.h"

static const char scram_name[] = "SCRAM-SHA-256$";

bool
passwd_name_ok(struct slice name)
{
	if (name.n == 0 || name.n > PASSWD_NAME_MOST || name.p[0] == '#')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= 0x20 || name.p[i] == 0x7f || name.p[i] == ':')
			return false;
	return true;
}

/* crypt(3): "$id$..." of printable ASCII; "*" and "!" stand for hashes that nothing matches. */
static bool
crypt_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return s.n < 384;
}

static const char *
parse_scram(struct slice s, struct arena *a, struct passwd_entry *e)
{
	struct slice iterations, salt, stored, server;
	uint64_t n;
	if (!slice_starts(s, slice_of(scram_name)))
		return "the third field is not SCRAM-SHA-256$...";
	s = slice_from(s, strlen(scram_name));
	if (!slice_cut(s, ':', &iterations, &s) || !slice_cut(s, '$', &salt, &s) ||
		!slice_cut(s, ':', &stored, &server))
		return "the third field is not "
		       "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY";
	if (!slice_u64(iterations, &n) || n < PASSWD_ITERATIONS_LEAST ||
		n > PASSWD_ITERATIONS_MOST)
		return "the iterations of SCRAM are not 4096 to 1000000";
	if (!base64_decode(salt, a, &e->salt) || !base64_decode(stored, a, &e->stored_key) ||
		!base64_decode(server, a, &e->server_key))
		return "a part of the third field is not base64";
	if (e->salt.n < 8 || e->salt.n > 128 || e->stored_key.n != PASSWD_KEY_BYTES ||
		e->server_key.n != PASSWD_KEY_BYTES)
		return "a part of the third field has the wrong length";
	e->iterations = (unsigned)n;
	e->has_scram = true;
	return NULL;
}

const char *
passwd_parse(struct slice line, struct arena *a, struct passwd_entry *entry_out)
{
	struct passwd_entry e = {0};
	struct slice rest;
	if (!slice_cut(line, ':', &e.name, &rest) || !passwd_name_ok(e.name))
		return "no name of a user before the first colon";
	if (!slice_cut(rest, ':', &e.crypt, &rest) || !crypt_ok(e.crypt))
		return "no hash of crypt(3) in the second field";
	if (rest.n != 0) {
		const char *wrong = parse_scram(rest, a, &e);
		if (wrong != NULL)
			return wrong;
	}
	if (e.crypt.n == 0 && !e.has_scram)
		return "neither a hash of crypt(3) nor SCRAM-SHA-256: nobody could log in";
	*entry_out = e;
	return NULL;
}

struct slice
passwd_line(const struct passwd_entry *e, struct arena *a)
{
	struct slice head =
		arena_printf(a, "%.*s:%.*s:", SLICE_ARG(e->name), SLICE_ARG(e->crypt));
	if (!e->has_scram)
		return head;
	struct slice salt = base64_encode(e->salt, a);
	struct slice stored = base64_encode(e->stored_key, a);
	struct slice server = base64_encode(e->server_key, a);
	return arena_printf(a, "%.*s%s%u:%.*s$%.*s:%.*s", SLICE_ARG(head), scram_name,
		e->iterations, SLICE_ARG(salt), SLICE_ARG(stored), SLICE_ARG(server));
}

static bool
says_nothing(struct slice line)
{
	line = slice_trim(line);
	return line.n == 0 || line.p[0] == '#';
}

int
passwd_read(const char *path, struct arena *a, struct map **users_out, struct err *err)
{
	struct slice text, line;
	if (file_read(path, PASSWD_FILE_MOST, a, &text, err) < 0)
		return -1;
	struct map *users = map_new(a, false);
	for (unsigned n = 1; text.n != 0; n++) {
		slice_cut(text, '\n', &line, &text);
		if (says_nothing(line))
			continue;
		/* An entry with its decoded parts, and the map where it has to grow. */
		if (arena_room(a) < 4096 + map_count(users) * 128)
			return err_set(err, "%s:%u: too many users", path, n);
		struct passwd_entry *e = ARENA_NEW(a, struct passwd_entry);
		const char *wrong = passwd_parse(slice_trim(line), a, e);
		if (wrong != NULL)
			return err_set(err, "%s:%u: %s", path, n, wrong);
		if (map_get(users, e->name) != NULL)
			return err_set(err, "%s:%u: the user \"%.*s\" stands a second time",
				path, n, SLICE_ARG(slice_first(e->name, 80)));
		map_put(users, e->name, e);
	}
	*users_out = users;
	return 0;
}

static int
write_all(int fd, struct slice s, const char *path, struct err *err)
{
	while (s.n != 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "write %s", path);
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

/* The old text with the line of that name replaced, or the line at its end. */
static int
write_lines(int fd, struct slice old, const struct passwd_entry *e, struct arena *a,
	const char *path, struct err *err)
{
	struct slice mine = passwd_line(e, a);
	mine = arena_printf(a, "%.*s\n", SLICE_ARG(mine));
	bool done = false;
	while (old.n != 0) {
		struct slice line, name, rest;
		slice_cut(old, '\n', &line, &old);
		slice_cut(line, ':', &name, &rest);
		bool replaced = !says_nothing(line) && slice_eq(slice_trim(name), e->name);
		done = done || replaced;
		struct slice out = replaced ? mine : arena_printf(a, "%.*s\n", SLICE_ARG(line));
		if (write_all(fd, out, path, err) < 0)
			return -1;
	}
	return done ? 0 : write_all(fd, mine, path, err);
}

/* The new file gets the owner and rights of the old one; without one, its owner alone reads it.
 */
static int
write_new(int fd, const char *path, const struct passwd_entry *e, struct arena *a,
	struct err *err)
{
	struct stat st;
	struct slice old = SLICE("");
	if (stat(path, &st) == 0) {
		if (fchmod(fd, st.st_mode & 07777) < 0 ||
			(geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0))
			return err_sys(err, "give the new file the rights of %s", path);
		if (file_read(path, PASSWD_FILE_MOST, a, &old, err) < 0)
			return -1;
	} else if (errno != ENOENT) {
		return err_sys(err, "look at %s", path);
	}
	if (write_lines(fd, old, e, a, path, err) < 0)
		return -1;
	return fsync(fd) < 0 ? err_sys(err, "write %s", path) : 0;
}

int
passwd_write(const char *path, const struct passwd_entry *e, struct err *err)
{
	struct arena *a = arena_new(8 * (size_t)PASSWD_FILE_MOST);
	const char *next = arena_printf(a, "%s.new", path).p;
	int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int result = -1;
	if (fd < 0) {
		err_sys(err, "create %s (another `postern passwd` at work?)", next);
	} else {
		result = write_new(fd, path, e, a, err);
		if (close(fd) < 0 && result == 0)
			result = err_sys(err, "write %s", next);
		if (result == 0 && rename(next, path) < 0)
			result = err_sys(err, "rename %s to %s", next, path);
		if (result < 0)
			unlink(next);
	}
	arena_free(&a);
	return result;
}
