/*
 * The fingerprint of a set of signatures: the same for the same files in any order, another for
 * each change of a name, a size, a content or a container's header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/signatures.h"

static char root[] = "/tmp/signatures-test-XXXXXX";

static void
put(const char *folder, const char *name, const char *text)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", root, folder);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", root, folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static uint64_t
of(const char *folder)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", root, folder);
	return signatures_fingerprint(path);
}

static void
test_changes(void **state)
{
	static char container[1024];
	(void)state;
	put("a", "1.hdb", "x:1:One\n");
	put("a", "2.ndb", "Two:0:*:00\n");
	put("b", "2.ndb", "Two:0:*:00\n");
	put("b", "1.hdb", "x:1:One\n");
	uint64_t first = of("a");
	assert_true(first != 0 && first == of("b"));
	put("b", "1.hdb", "x:1:Ono\n");
	assert_true(of("b") != first);
	put("b", "1.hdb", "x:1:One\n");
	assert_true(of("b") == first);
	put("b", "3.hdb", "");
	assert_true(of("b") != first);
	memset(container, 'c', sizeof(container) - 1);
	put("c", "daily.cvd", container);
	uint64_t before = of("c");
	container[100] = 'v';
	put("c", "daily.cvd", container);
	assert_true(of("c") != before);
	before = of("c");
	container[1000] = 'v'; /* behind the header: its checksum would have changed too */
	put("c", "daily.cvd", container);
	assert_true(of("c") == before);
	assert_true(of("a/1.hdb") != 0);
	assert_true(of("a/none") == 0);
}

static int
start(void **state)
{
	(void)state;
	return mkdtemp(root) != NULL ? 0 : -1;
}

static int
end(void **state)
{
	static const char *const files[] = {"a/1.hdb", "a/2.ndb", "b/1.hdb", "b/2.ndb",
		"b/3.hdb", "c/daily.cvd", "a", "b", "c", ""};
	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[200];
		snprintf(path, sizeof(path), "%s/%s", root, files[i]);
		(void)remove(path);
	}
	return access(root, F_OK) < 0 ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes)};
	return cmocka_run_group_tests(tests, start, end);
}
