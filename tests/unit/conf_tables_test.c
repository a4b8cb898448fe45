/*
 * Tables: what each form of an item has and has not, files of many lines, and what a table of a
 * directory or database becomes. Wrong forms stand in tests/conf/tables.conf, directories.conf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf_text.h"

#define FRAME                                  \
	"hostname \"mx.example.com\"\n"        \
	"listen inbound on \"127.0.0.1:25\"\n" \
	"domain \"example.com\" deliver to \"10.0.0.5\"\n"

enum { MANY = 100000 };

static bool
has(const struct conf_table *t, const char *value)
{
	struct arena *a = arena_new(2 << 20);
	enum pattern_result r = conf_table_look(t, slice_of(value), a);
	arena_free(&a);
	assert_int_not_equal(r, PATTERN_GAVE_UP);
	return r == PATTERN_YES;
}

static void
test_forms(void **state)
{
	static const struct {
		const char *item, *value;
		bool has;
	} cases[] = {
		{"\"sales-*@example.com\"", "sales-emea@example.com", true},
		{"\"sales-*@example.com\"", "SALES-x@Example.COM", true},
		{"\"sales-*@example.com\"", "sales@example.com", false},
		{"\"sales-*@example.com\"", "sales-a@example.org", false},
		{"\"mail-*.example.net\"", "mail-1.example.net", true},
		{"\"mail-*.example.net\"", "someone@mail-1.example.net", true},
		{"\"mail-*.example.net\"", "mail.example.net", false},
		{"\"a?c\"", "abc", true},
		{"\"a?c\"", "ac", false},
		{"\"{one,two}@example.com\"", "two@example.com", true},
		{"\"{one,two}@example.com\"", "three@example.com", false},
		{"\"a\\\\*b*\"", "a*bc", true},
		{"\"a\\\\*b*\"", "axbc", false},
		{"\"*.{de,at}\"", "example.at", true},
		{"\"*.{de,at}\"", "example.ch", false},
		{"/^[0-9]+@/", "123@example.com", true},
		{"/^[0-9]+@/", "x123@example.com", false},
		{"/^boss@/", "BOSS@example.com", false},
		{"/^boss@/i", "BOSS@example.com", true},
		{"/a\\/b/", "a/b", true},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"\"2001:db8::/32\"", "2001:db8:1::1", true},
		{"\"2001:db8::/32\"", "2001:db9::1", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"\"*.supplier.example\"", "a.supplier.example", true},
		{"\"*.supplier.example\"", "supplier.example", false},
	};
	char text[1000];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), FRAME "table t { %s }\ninbound { accept }\n",
			cases[i].item);
		struct conf *c = conf_text(text);
		if (has(map_get(c->tables, SLICE("t")), cases[i].value) != cases[i].has)
			fail_msg("%s on %s", cases[i].item, cases[i].value);
		conf_free(&c);
	}
}

/* An expression that takes too long has given up, and a name beside it is found all the same.
 */
static void
test_gives_up(void **state)
{
	char value[60];
	struct arena *a = arena_new(4 << 20);
	(void)state;
	struct conf *c = conf_text(
		FRAME "table t { /^(?:a{1,40}){1,40}$/ \"aaaab\" }\ninbound { accept }\n");
	const struct conf_table *t = map_get(c->tables, SLICE("t"));
	memset(value, 'a', sizeof(value) - 2);
	value[sizeof(value) - 2] = 'b';
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(conf_table_look(t, slice_of(value), a), PATTERN_GAVE_UP);
	assert_int_equal(conf_table_look(t, SLICE("aaaab"), a), PATTERN_YES);
	assert_int_equal(conf_table_look(t, SLICE("aaaa"), a), PATTERN_YES);
	assert_int_equal(conf_table_look(t, SLICE("b"), a), PATTERN_NO);
	conf_free(&c);
	arena_free(&a);
}

static void
test_bounds(void **state)
{
	char path[] = "/tmp/postern-table-XXXXXX", text[1000];
	(void)state;
	for (unsigned n = 1000; n <= 1001; n++) {
		struct conf_report r;
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		for (unsigned i = 0; i < n; i++)
			fprintf(f, i % 2 == 0 ? "a%u-*@example.com\n" : "/^a%u@/\n", i);
		assert_int_equal(fclose(f), 0);
		FILE *main_file = fopen("/tmp/postern-table.conf", "w");
		assert_non_null(main_file);
		snprintf(text, sizeof(text), FRAME "table t file \"%s\"\ninbound { accept }\n",
			path);
		fputs(text, main_file);
		assert_int_equal(fclose(main_file), 0);
		conf_report_init(&r);
		struct conf *c = conf_read("/tmp/postern-table.conf", &r);
		assert_int_equal(c != NULL, n == 1000);
		if (c == NULL) {
			assert_int_equal(r.n_errors, 1);
			assert_int_equal(r.problems[0].at.line, 1001);
			assert_non_null(strstr(r.problems[0].text, "at most 1000 wildcards"));
		}
		conf_free(&c);
		conf_report_fini(&r);
	}
	unlink(path);
	unlink("/tmp/postern-table.conf");
}

static void
test_many_lines(void **state)
{
	char path[] = "/tmp/postern-table-XXXXXX", text[1000], value[40];
	(void)state;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < MANY; i++)
		fprintf(f, "10.%u.%u.%u/32 # %u\nuser%u@example.com\n", i >> 16, i >> 8 & 255,
			i & 255, i, i);
	fprintf(f, "  /^rx[0-9]+@/i  # one\n");
	assert_int_equal(fclose(f), 0);
	snprintf(text, sizeof(text), FRAME "table t file \"%s\"\ninbound { accept }\n", path);
	struct conf *c = conf_text(text);
	unlink(path);
	const struct conf_table *t = map_get(c->tables, SLICE("t"));
	assert_int_equal(t->n_items, 2 * MANY + 1);
	assert_int_equal(t->n_nets, MANY);
	for (unsigned i = 0; i < MANY; i += 997) {
		struct ip ip;
		unsigned steps;
		snprintf(value, sizeof(value), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		assert_true(ip_parse(slice_of(value), &ip));
		assert_true(ip_set_has(t->nets, &ip, &steps));
		assert_in_range(steps, 1, 17);
		assert_true(has(t, value));
		snprintf(value, sizeof(value), "user%u@example.com", i);
		assert_true(has(t, value));
	}
	assert_true(has(t, "RX12@example.com"));
	assert_false(has(t, "10.200.0.1"));
	assert_false(has(t, "user100000@example.com"));
	conf_free(&c);
}

static const struct conf_directory *
directory(const struct conf *c, const char *name)
{
	const struct conf_table *t = map_get(c->tables, slice_of(name));
	assert_non_null(t);
	assert_non_null(t->directory);
	return t->directory;
}

static void
test_directories(void **state)
{
	(void)state;
	struct conf *c = conf_text(
		FRAME "table a ldap \"ldap://dir.example.com/ou=a%20b,dc=x\" filter "
		      "\"(&(mail=%s)(a=1))\" "
		      "tls required\n"
		      "table b ldap \"LDAPS://[2001:db8::7]:1636/dc=x\" filter \"(mail=%s)\"\n"
		      "table c sql \"postgresql://us%40er@db.example.com:5433/c%2Fd\" "
		      "query \"select 1 from t where m = $1\"\n"
		      "table d sql \"sqlite:/dev/../etc/passwd\" query \"WITH a AS (SELECT ?1) "
		      "SELECT 1\"\n"
		      "filter directory { timeout 2s cache 1m connections 7 on failure skip }\n"
		      "inbound { accept }\n");
	const struct conf_directory *d = directory(c, "a");
	assert_int_equal(d->kind, DIRECTORY_LDAP);
	assert_true(slice_eq(d->base, SLICE("ou=a b,dc=x")));
	assert_true(slice_eq(d->host, SLICE("dir.example.com")));
	assert_int_equal(d->port, 389);
	assert_true(d->tls_required && !d->tls_implicit);
	d = directory(c, "b");
	assert_int_equal(d->port, 1636);
	assert_int_equal(d->ip.family, 6);
	assert_true(d->tls_implicit);
	d = directory(c, "c");
	assert_int_equal(d->kind, DIRECTORY_POSTGRESQL);
	assert_true(slice_eq(d->user, SLICE("us@er")));
	assert_true(slice_eq(d->database, SLICE("c/d")));
	assert_int_equal(d->port, 5433);
	d = directory(c, "d");
	assert_int_equal(d->kind, DIRECTORY_SQLITE);
	const struct conf_filter *f = conf_filter_find(c, "directory");
	assert_int_equal(f->timeout_ms, 2000);
	assert_int_equal(f->cache_ms, 60000);
	assert_int_equal(f->connections, 7);
	conf_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_directories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
