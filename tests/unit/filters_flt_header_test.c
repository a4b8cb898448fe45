/*
 * From, as rules about our own names ask for it (HDR-10): whether an author is one of ours or
 * below one, and the names beside addresses; of a From that cannot be read nobody is sure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "filters/filter.h"

extern const struct filter flt_header;

static const char conf_of_two[] =
	"hostname \"mx.example.com\"\nlisten milter on \"inet:2525@127.0.0.1\"\n"
	"domain \"example.com\"\ndomain \"xn--mller-kva.example\"\ninbound {\naccept\n}\n";

static struct {
	struct arena *arena;
	struct conf *conf;
	struct message message;
	struct flt_mail mail;
} w;

static int
open_world(void **state)
{
	(void)state;
	w.arena = arena_new(4 << 20);
	w.conf = conf_text(conf_of_two);
	return 0;
}

static int
close_world(void **state)
{
	(void)state;
	conf_free(&w.conf);
	arena_free(&w.arena);
	return 0;
}

static enum fact_state
gather(const char *name, const char *header, struct value *v)
{
	const struct fact_decl *decl = flt_header.facts;
	while (decl->name != NULL && strcmp(decl->name, name) != 0)
		decl++;
	assert_non_null(decl->name);
	struct fact_ref ref = {.decl = decl};
	message_parse(slice_of(header), w.conf->hostname, false, w.arena, &w.message);
	w.mail = (struct flt_mail){.message = &w.message};
	struct flt_call c = {.conf = w.conf, .mail = &w.mail, .arena = w.arena};
	*v = (struct value){0};
	return flt_header.gather(&c, &ref, v);
}

static void
test_ours(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		enum fact_state how;
		bool ours;
	} rows[] = {
		{"From: a@example.com\r\n\r\n", FACT_KNOWN, true},
		{"From: a@EXAMPLE.com\r\n\r\n", FACT_KNOWN, true},
		{"From: a@b.c.example.com\r\n\r\n", FACT_KNOWN, true},
		{"From: a@sub.xn--mller-kva.example\r\n\r\n", FACT_KNOWN, true},
		{"From: a@com\r\n\r\n", FACT_KNOWN, false},
		{"From: a@notexample.com\r\n\r\n", FACT_KNOWN, false},
		{"From: a@example.com.evil.example\r\n\r\n", FACT_KNOWN, false},
		{"From: a@[192.0.2.1]\r\n\r\n", FACT_KNOWN, false},
		/* any author, where from.domain knows none */
		{"From: a@evil.example, b@hr.example.com\r\n\r\n", FACT_KNOWN, true},
		{"From: a@evil.example, b@other.example\r\n\r\n", FACT_KNOWN, false},
		{"Subject: nobody\r\n\r\n", FACT_KNOWN, false},
		/* the name does not count, the address does */
		{"From: \"a@example.com\" <a@evil.example>\r\n\r\n", FACT_KNOWN, false},
		{"From: a@evil.example\r\nFrom: a@example.com\r\n\r\n", FACT_FAILED, false},
		{"From: a@example.com a@evil.example\r\n\r\n", FACT_FAILED, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct value v;
		enum fact_state how = gather("from.ours", rows[i].header, &v);
		if (how != rows[i].how || v.flag != rows[i].ours)
			fail_msg("%s: %d %d", rows[i].header, (int)how, v.flag);
	}
}

static void
test_names(void **state)
{
	(void)state;
	static const struct {
		const char *header, *names;
	} rows[] = {
		{"From: Ann <a@b.example>\r\n\r\n", "Ann"},
		{"From: a@b.example\r\n\r\n", ""},
		{"Subject: nobody\r\n\r\n", ""},
		{"From: =?utf-8?b?eEBleGFtcGxlLmNvbQ==?= <a@b.example> (c)\r\n\r\n",
			"x@example.com|c"},
		/* what cannot be read, as it stands; a second From too */
		{"From: x@example.com\r\n <a@b.example>\r\n\r\n",
			"x@example.com <a@b.example>"},
		{"From: One <a@b.example>\r\nFrom: Two <c@d.example>\r\n\r\n", "One|Two"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct value v;
		struct slice all = SLICE("");
		assert_int_equal(gather("from.names", rows[i].header, &v), FACT_KNOWN);
		for (size_t k = 0; k < v.n_items; k++)
			all = arena_printf(w.arena, "%.*s%s%.*s", SLICE_ARG(all),
				k != 0 ? "|" : "", SLICE_ARG(v.items[k].text));
		if (!slice_eq(all, slice_of(rows[i].names)))
			fail_msg("%s: %.*s", rows[i].header, SLICE_ARG(all));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ours, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_names, open_world, close_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
