/* The users' file: lines right and wrong, and replacing one (`postern passwd`). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/file.h"
#include "conf/passwd.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SCRAM "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" KEY_A ":" KEY_A
#define CRYPT "$y$j9T$abc$def"

static void
test_lines(void **state)
{
	static const struct {
		const char *line, *wrong;
	} cases[] = {
		{"alice:" CRYPT ":" SCRAM, NULL},
		{"alice@example.com:" CRYPT ":", NULL},
		{"alice::" SCRAM, NULL},
		{"alice::", "nobody could log in"},
		{"alice", "no name"},
		{":" CRYPT ":", "no name"},
		{"a b:" CRYPT ":", "no name"},
		{"alice:" CRYPT, "no hash"},
		{"alice:a b:", "no hash"},
		{"alice::SCRAM-SHA-1$4096:c2FsdHNhbHQ=$" KEY_A ":" KEY_A, "is not SCRAM"},
		{"alice::SCRAM-SHA-256$4096", "is not SCRAM"},
		{"alice::SCRAM-SHA-256$100:c2FsdHNhbHQ=$" KEY_A ":" KEY_A, "iterations"},
		{"alice::SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" KEY_A ":AAAA", "wrong length"},
		{"alice::SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" KEY_A ":?" KEY_A, "base64"},
		{"alice::SCRAM-SHA-256$4096:$" KEY_A ":" KEY_A, "wrong length"},
	};
	struct arena *a = arena_new(1 << 20);
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct passwd_entry e;
		const char *wrong = passwd_parse(slice_of(cases[i].line), a, &e);
		if ((wrong == NULL) != (cases[i].wrong == NULL) ||
			(wrong != NULL && strstr(wrong, cases[i].wrong) == NULL))
			fail_msg("%s: %s", cases[i].line, wrong);
		if (wrong == NULL)
			assert_true(slice_eq(passwd_line(&e, a), slice_of(cases[i].line)));
	}
	arena_free(&a);
}

static void
test_write(void **state)
{
	char folder[] = "/tmp/passwd.XXXXXX", path[64], other[80];
	struct arena *a = arena_new(8 << 20);
	struct passwd_entry e;
	struct map *users;
	struct slice text;
	struct stat st;
	struct err err;
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/users", folder);
	snprintf(other, sizeof(other), "%s.new", path);
	assert_null(passwd_parse(SLICE("alice:" CRYPT ":"), a, &e));
	assert_int_equal(passwd_write(path, &e, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(chmod(path, 0640), 0);
	assert_null(passwd_parse(SLICE("bob:" CRYPT ":"), a, &e));
	assert_int_equal(passwd_write(path, &e, &err), 0);
	assert_null(passwd_parse(SLICE("alice::" SCRAM), a, &e));
	assert_int_equal(passwd_write(path, &e, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_read(path, PASSWD_FILE_MOST, a, &text, &err), 0);
	assert_true(slice_eq(text, SLICE("alice::" SCRAM "\nbob:" CRYPT ":\n")));
	assert_int_equal(passwd_read(path, a, &users, &err), 0);
	assert_int_equal(map_count(users), 2);
	const struct passwd_entry *bob = map_get(users, SLICE("bob"));
	assert_true(!bob->has_scram && slice_eq(bob->crypt, SLICE(CRYPT)));
	assert_null(map_get(users, SLICE("Bob")));
	/* One who writes keeps others out. */
	FILE *f = fopen(other, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(passwd_write(path, &e, &err), -1);
	unlink(other);
	f = fopen(path, "a");
	assert_non_null(f);
	fputs("# a comment\n\nbob:x:\n", f);
	fclose(f);
	assert_int_equal(passwd_read(path, a, &users, &err), -1);
	assert_non_null(strstr(err.text, "/users:5: the user \"bob\" stands a second time"));
	unlink(path);
	rmdir(folder);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
