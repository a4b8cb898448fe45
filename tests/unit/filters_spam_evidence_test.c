/*
 * Evidence: for each row of the table a mail that has it and one that nearly has it, so that no
 * row is dead and none finds too much; the bounds of groups; listings; bounces; hostile mails;
 * names and what is meant by wrong ones. The cases stand in filters_spam_evidence_cases.def.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "filters/spam_evidence.h"

enum { ARENA_MOST = 8 << 20, MAIL_MOST = 256 * 1024 };

#define HIDDEN2   "<i style=\"display:none\">a b</i><i style=\"display:none\">c d</i>"
#define TEN_WORDS "letters that are there for no one but a filter here "
#define HUNDRED_WORDS                                                                   \
	TEN_WORDS TEN_WORDS TEN_WORDS TEN_WORDS TEN_WORDS TEN_WORDS TEN_WORDS TEN_WORDS \
		TEN_WORDS TEN_WORDS
#define HIDDEN8    HIDDEN2 HIDDEN2 HIDDEN2 HIDDEN2
#define ENTITIES10 "&#104;&#101;&#108;&#108;&#111;&#119;&#97;&#115;&#101;&#114;"
#define ENTITIES40 ENTITIES10 ENTITIES10 ENTITIES10 ENTITIES10
#define CAPITALS80 \
	"THIS IS WRITTEN BY SOMEBODY WHO HAS LOST THE KEY THAT MAKES LETTERS SMALL AGAIN "
#define SMALL80 \
	"This Is Written By Somebody Who Has Found The Key That Makes Letters Small Again "
#define CAPITALS240 CAPITALS80 CAPITALS80 CAPITALS80 CAPITALS80
#define SMALL240    SMALL80 SMALL80 SMALL80 SMALL80
#define FILE_OF(type, name, body)                                                             \
	"Content-Type: multipart/mixed; boundary=\"=-=x\"\n\n--=-=x\n\nHere it is.\n--=-=x\n" \
	"Content-Type: " type "\nContent-Disposition: attachment; filename=\"" name           \
	"\"\n\n" body "\n--=-=x--\n"
#define FILE_NAMED(name) FILE_OF("application/octet-stream", name, "AAAA")

static const struct evidence_case {
	enum spam_evidence_id id;
	const char *world, *has, *near_world, *near;
} cases[] = {
#define CASE(id, world, has, near_world, near) {SPAM_##id, world, has, near_world, near},
#include "filters_spam_evidence_cases.def"
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static const struct slice own[] = {SLICE("example.org"), SLICE("northwind.example")};

/* What a mail has where it does not say otherwise. */
static const char *const innocent[][2] = {
	{"Received",
		"from mail.sender.test (mail.sender.test [198.51.100.7]) by relay.test with "
		"ESMTP; Mon, 2 Nov 2026 10:00:00 +0000"},
	{"From", "Ann Smith <ann@sender.test>"},
	{"To", "Bob <bob@example.org>"},
	{"Subject", "Lunch on Tuesday"},
	{"Date", "Mon, 2 Nov 2026 10:00:00 +0000"},
	{"Message-ID", "<20261102.4711@mail.sender.test>"},
};

static bool
names_field(struct slice mail, const char *name, struct slice *value_out)
{
	for (struct slice rest = mail, line; rest.n > 0;) {
		slice_cut(rest, '\n', &line, &rest);
		if (line.n == 0)
			return false;
		struct slice field;
		if (slice_cut(line, ':', &field, value_out) &&
			slice_eq_nocase(field, slice_of(name))) {
			*value_out = slice_trim(*value_out);
			return true;
		}
	}
	return false;
}

static struct slice
whole(const char *text, struct arena *a)
{
	struct slice mail = slice_of(text), head = SLICE_NONE, value;
	for (size_t i = 0; i < sizeof(innocent) / sizeof(innocent[0]); i++)
		if (!names_field(mail, innocent[i][0], &value))
			head = arena_printf(a, "%.*s%s: %s\n", SLICE_ARG(head), innocent[i][0],
				innocent[i][1]);
	bool in_header = true;
	struct buf b;
	buf_init(&b, MAIL_MOST);
	assert_int_equal(buf_add(&b, head), 0);
	for (struct slice rest = mail, line; rest.n > 0;) {
		slice_cut(rest, '\n', &line, &rest);
		in_header = in_header && line.n != 0;
		if (in_header && slice_ends(line, SLICE(": -")))
			continue;
		assert_int_equal(buf_add(&b, line), 0);
		assert_int_equal(buf_add(&b, SLICE("\n")), 0);
	}
	struct slice out = arena_slice(a, buf_slice(&b));
	buf_fini(&b);
	return out;
}

static void
set(struct spam_world *w, struct slice key, struct slice value, struct arena *a)
{
	if (slice_eq(key, SLICE("spf")))
		w->spf = value;
	else if (slice_eq(key, SLICE("dkim")))
		w->dkim = value;
	else if (slice_eq(key, SLICE("dmarc")))
		w->dmarc = value;
	else if (slice_eq(key, SLICE("policy")))
		w->dmarc_policy = value;
	else if (slice_eq(key, SLICE("aligned"))) {
		w->aligned_known = true;
		w->aligned = slice_eq(value, SLICE("yes"));
	} else if (slice_eq(key, SLICE("client")))
		assert_true(ip_parse(value, &w->client));
	else if (slice_eq(key, SLICE("name"))) {
		w->client_name_known = true;
		w->client_name = slice_eq(value, SLICE("-")) ? SLICE_NONE : value;
	} else if (slice_eq(key, SLICE("helo")))
		w->helo = value;
	else if (slice_eq(key, SLICE("sender"))) {
		struct address *sender = ARENA_NEW(a, struct address);
		assert_int_equal(address_parse(value, false, a, sender), ADDRESS_OK);
		w->sender = sender;
	} else if (slice_eq(key, SLICE("seen"))) {
		w->seen_known = true;
		w->new_sender = slice_has(value, 's');
		w->new_domain = slice_has(value, 'd');
		w->new_network = slice_has(value, 'n');
	} else if (slice_eq(key, SLICE("wall"))) {
		uint64_t wall;
		assert_true(slice_u64(value, &wall));
		w->wall_ms = (int64_t)wall;
	} else
		fail_msg("no such key: %.*s", SLICE_ARG(key));
}

static void
make_world(const char *text, struct arena *a, struct spam_world *w)
{
	*w = (struct spam_world){.own_domains = own, .n_own_domains = 2};
	for (struct slice rest = slice_of(text), one, key; rest.n > 0;) {
		slice_cut(rest, ' ', &one, &rest);
		assert_true(slice_cut(one, '=', &key, &one));
		set(w, key, one, a);
	}
}

static void
gather(const char *world, struct slice mail, struct arena *a, struct spam_found *out)
{
	struct spam_world w;
	struct spam_view v;
	make_world(world, a, &w);
	spam_view_of_mail(mail, SLICE("mx.example.org"), a, &v);
	spam_evidence_gather(&v, &w, a, out);
	bool seen[SPAM_EVIDENCES] = {false};
	for (size_t i = 0; i < out->n; i++) {
		const struct spam_found_one *f = &out->items[i];
		assert_in_range(f->id, 0, SPAM_EVIDENCES - 1);
		assert_false(seen[f->id]);
		seen[f->id] = true;
		assert_true(f->times > 0 && f->times <= 1);
		for (size_t k = 0; k < f->detail.n; k++)
			assert_true(f->detail.p[k] >= ' ' && f->detail.p[k] <= '~');
	}
}

static const struct spam_found_one *
has(const struct spam_found *found, enum spam_evidence_id id)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->items[i].id == id)
			return &found->items[i];
	return NULL;
}

static void
each_has_and_nearly_has(void **state)
{
	(void)state;
	unsigned wrong = 0;
	bool tried[SPAM_EVIDENCES] = {[SPAM_LIST_CLIENT] = true, [SPAM_LIST_LINK] = true};
	struct arena *a = arena_new(ARENA_MOST);
	for (size_t i = 0; i < CASES; i++) {
		static struct spam_found out;
		const struct evidence_case *c = &cases[i];
		const char *name = spam_evidence_table[c->id].name;
		tried[c->id] = true;
		arena_reset(a);
		gather(c->world, whole(c->has, a), a, &out);
		if (has(&out, c->id) == NULL && ++wrong)
			print_error("%s: not found in: %s\n", name, c->has);
		arena_reset(a);
		gather(c->near_world, whole(c->near, a), a, &out);
		if (has(&out, c->id) != NULL && ++wrong)
			print_error("%s: found in: %s\n", name, c->near);
	}
	for (size_t i = 0; i < SPAM_EVIDENCES; i++)
		if (!tried[i] && ++wrong)
			print_error("%s: no case\n", spam_evidence_table[i].name);
	arena_free(&a);
	assert_int_equal(wrong, 0);
}

/* An innocent mail has none at all, with LF and with CRLF. */
static void
innocence(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_MOST);
	static struct spam_found out;
	gather("spf=pass dkim=pass client=198.51.100.7 name=mail.sender.test "
	       "helo=mail.sender.test "
	       "sender=ann@sender.test wall=1793613600000 seen=-",
		whole("\nShall we say one o'clock?\n", a), a, &out);
	for (size_t i = 0; i < out.n; i++)
		if (spam_evidence_table[out.items[i].id].weight > 0)
			fail_msg("%s", spam_evidence_table[out.items[i].id].name);
	arena_free(&a);
}

static void
groups_are_bounded(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_MOST);
	static struct spam_found out;
	gather("",
		whole("\ndear customer, he died intestate, you have won six million us "
		      "dollars, your "
		      "account has been suspended, your password will expire, an unusual "
		      "sign-in, "
		      "viagra, no credit check, lose weight, be your own boss, this is not "
		      "spam, "
		      "i have recorded you, casino, hot singles",
			a),
		a, &out);
	double sum[SPAM_GROUPS] = {0}, unbounded = 0;
	for (size_t i = 0; i < out.n; i++) {
		const struct spam_evidence *e = &spam_evidence_table[out.items[i].id];
		sum[e->group] += e->weight * out.items[i].times;
		unbounded += e->group == SPAM_OF_WORDS ? e->weight * 0.6 : 0;
	}
	assert_true(unbounded > spam_group_bounds[SPAM_OF_WORDS].most + 1);
	for (size_t i = 0; i < SPAM_GROUPS; i++)
		assert_true(sum[i] <= spam_group_bounds[i].most + 1e-9 &&
			    sum[i] >= spam_group_bounds[i].least - 1e-9);
	double most = spam_group_bounds[SPAM_OF_WORDS].most;
	assert_true(sum[SPAM_OF_WORDS] > most - 1e-9);
	arena_free(&a);
}

/* Every phrase alone is found, so that none is dead; a hint alone is not. */
static void
each_phrase(void **state)
{
	(void)state;
	static const struct {
		enum spam_evidence_id id;
		bool strong;
		const char *text;
	} phrases[] = {
#define SPAM_PHRASE(id, text) {SPAM_##id, true, text},
#define SPAM_HINT(id, text)   {SPAM_##id, false, text},
#include "filters/spam_phrases.def"
	};
	struct arena *a = arena_new(ARENA_MOST);
	unsigned wrong = 0;
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		static struct spam_found out;
		struct slice text = slice_of(phrases[i].text);
		bool open = text.p[text.n - 1] == '*';
		if (phrases[i].id > SPAM_HAM_CODE) /* they count beside other things alone */
			continue;
		arena_reset(a);
		struct slice mail = arena_printf(a,
			"Subject: a\nContent-Type: text/plain; charset=utf-8\n\n"
			"Q %.*s%s Q https://a.test/\n",
			SLICE_ARG(slice_first(text, text.n - open)), open ? "x" : "");
		gather("", mail, a, &out);
		if ((has(&out, phrases[i].id) != NULL) != phrases[i].strong && ++wrong)
			print_error("%s: %s\n", spam_evidence_table[phrases[i].id].name,
				phrases[i].text);
	}
	arena_free(&a);
	assert_int_equal(wrong, 0);
}

static void
listings(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_MOST);
	struct spam_world w = {.n_listings = 3};
	w.listings[0] = (struct spam_listing){true, SLICE("bad.test on dbl.test"), 3};
	w.listings[1] = (struct spam_listing){false, SLICE("192.0.2.9 on zen.test"), 2.5};
	w.listings[2] = (struct spam_listing){false, SLICE("192.0.2.9 on bl.test (x)"), -1};
	struct spam_view v;
	static struct spam_found out;
	spam_view_of_mail(whole("\nHi.", a), SLICE_NONE, a, &v);
	spam_evidence_gather(&v, &w, a, &out);
	assert_true(out.n >= 3);
	const struct spam_found_one *f = &out.items[out.n - 3];
	assert_int_equal(f[0].id, SPAM_LIST_LINK);
	assert_true(f[0].times == 3);
	assert_int_equal(f[1].id, SPAM_LIST_CLIENT);
	assert_true(slice_eq(f[1].detail, SLICE("192.0.2.9 on zen.test")));
	assert_true(f[2].times == -1);
	assert_true(slice_eq(f[2].detail, SLICE("192.0.2.9 on bl.test ?x?")));
	arena_free(&a);
}

static void
a_bounce_is_judged_by_its_origin(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_MOST);
	static struct spam_found out;
	gather("spf=fail",
		whole("From: Mail Delivery System <MAILER-DAEMON@sender.test>\n"
		      "Subject: Undelivered Mail\n"
		      "Content-Type: multipart/report; report-type=delivery-status; "
		      "boundary=\"=-=x\"\n\n--=-=x\n\nviagra, dear customer, "
		      "http://192.0.2.1/\n"
		      "--=-=x\nContent-Type: message/delivery-status\n\n"
		      "Reporting-MTA: dns; a.test\n\nFinal-Recipient: rfc822; a@b.test\n"
		      "Action: failed\nStatus: 5.1.1\n\n--=-=x--\n",
			a),
		a, &out);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.items[0].id, SPAM_SPF_FAIL);
	arena_free(&a);
}

static void
names(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_MOST);
	for (size_t i = 0; i < SPAM_EVIDENCES; i++) {
		const struct spam_evidence *e = &spam_evidence_table[i];
		struct slice name = slice_of(e->name), text = slice_of(e->text);
		assert_int_equal(spam_evidence_find(name), i);
		assert_true(slice_has(name, '.') && text.p[text.n - 1] == '.');
		assert_true(e->weight >= -10 && e->weight <= 10 && e->weight != 0);
		assert_true((int)e->group < SPAM_GROUPS);
		assert_true(e->weight > 0 ? spam_group_bounds[e->group].most >= e->weight
					  : spam_group_bounds[e->group].least <= e->weight);
		for (size_t k = 0; k < name.n; k++)
			assert_true((name.p[k] >= 'a' && name.p[k] <= 'z') ||
				    ascii_digit(name.p[k]) || name.p[k] == '.' ||
				    name.p[k] == '-');
	}
	assert_int_equal(spam_evidence_find(SLICE("dmarc.fial")), SPAM_EVIDENCES);
	assert_int_equal(spam_evidence_find(SLICE_NONE), SPAM_EVIDENCES);
	assert_true(slice_eq(spam_evidence_hint(SLICE("dmarc.fial"), a),
		SLICE(" (did you mean \"dmarc.fail\"?)")));
	assert_int_equal(spam_evidence_hint(SLICE("quite.different"), a).n, 0);
	arena_free(&a);
}

/* Pieces of mails put together by dice, and cut anywhere: nothing but the checks of gather().
 */
static void
hostile(void **state)
{
	(void)state;
	static const char *const pieces[] = {"From: ", "Reply-To: ", "Subject: ", "Date: ",
		"Message-ID: ", "To: ", "Received: from [", "\n", "\n\n", "<", ">", "@", ".",
		",", "\"", "=?utf-8?B?", "?=", "xn--", "xn--a-ecp.test", "xn--99999999999",
		"\xd0\xb0", "\xe2\x80\x8b", "\xff\xfe", "\xf0\x9f", "https://", "//", "#",
		"paypal", "northwind", "northwlnd.test", "[", "]", "(helo ", ")", "300.1.2.3",
		"Mon, 99 Foo 99999 99:99:99 +9999", " ", "a b c d e f",
		"Content-Type: text/html\n", "<a href=", "name=\"a.pdf.exe\"",
		"your account has been", "\xe6\x82\xa8\xe7\x9a\x84", "$", "{{", "___",
		"          ", "; "};
	struct arena *a = arena_new(ARENA_MOST);
	unsigned seed = 4711;
	size_t any = 0;
	for (unsigned round = 0; round < 3000; round++) {
		static char mail[4096];
		static struct spam_found out;
		size_t n = 0;
		while (n + 64 < sizeof(mail) && (seed = seed * 1103515245 + 12345) % 97 != 0) {
			struct slice p = slice_of(
				pieces[seed / 65536 % (sizeof(pieces) / sizeof(pieces[0]))]);
			memcpy(mail + n, p.p, p.n);
			n += p.n;
		}
		arena_reset(a);
		/* ends on the last byte of its memory, for the sanitizer to watch */
		char *tight = mem_array(n != 0 ? n : 1, 1);
		memcpy(tight, mail, n);
		gather("client=192.0.2.9 helo=[ sender=a@northwlnd.test",
			(struct slice){tight, n}, a, &out);
		mem_free(tight);
		any += out.n;
	}
	assert_true(any > 3000);
	arena_free(&a);
}

/* A mail that has much is cut at each point: nothing but the checks of gather(), and less each.
 */
static void
cut_anywhere(void **state)
{
	(void)state;
	static const char mail[] =
		"From: \"help@bank.test\" <x@northwlnd.test>\r\nReply-To: <y@gmail.com>\r\n"
		"Subject: =?utf-8?B?8J+OgQ==?= ACCOUNT          xk7\r\n"
		"Received: from 192.0.2.4 (HELO 1) by b; Mon, 2 Nov 2026 10:00:00 +0000\r\n"
		"Date: Tue, 2 Nov 2026 10:00:00 -1700\r\nMessage-ID: <abc@x>\r\n"
		"Content-Type: text/html; charset=utf-8\r\n\r\n"
		"<form action=\"http://192.0.2.7:81/wp-admin/\"><a "
		"href=\"https://xn--a-ecp.test/"
		"verify#b\">www.bank.com</a> your account has been suspended "
		"p\xd0\xb0y</form>\r\n";
	struct arena *a = arena_new(ARENA_MOST);
	static struct spam_found out;
	for (size_t n = 0; n < sizeof(mail); n++) {
		arena_reset(a);
		char *tight = mem_array(n != 0 ? n : 1, 1);
		memcpy(tight, mail, n);
		gather("", (struct slice){tight, n}, a, &out);
		mem_free(tight);
	}
	assert_true(out.n > 10);
	arena_free(&a);
}

/* A mail of one thing many times over stays linear: no case takes half a second of CPU. */
static void
much_of_one(void **state)
{
	(void)state;
	static const char *const much[] = {"your account has been ", "a ", "<",
		"http://a.test/", "\xd0\xb0z", "[300.", "a@", "_", "x@northwlnd.test, ",
		"1BoatSLRHtKNngkdXEeobR76b53LETtpyT ", "> ", "\xe6\x82\xa8", "xn--a.", "@@ ",
		"18"};
	static const char *const into[] = {"", "From: ", "To: ", "Subject: ", "Received: from ",
		"Content-Type: text/plain; boundary=", "Message-ID: "};
	struct arena *a = arena_new(ARENA_MOST);
	static char mail[128 * 1024];
	static struct spam_found out;
	size_t done = 0;
	for (size_t i = 0; i < sizeof(much) / sizeof(much[0]); i++)
		for (size_t k = 0; k < sizeof(into) / sizeof(into[0]); k++) {
			size_t n = strlen(into[k]), piece = strlen(much[i]);
			memcpy(mail, into[k], n);
			if (n == 0)
				mail[n++] = '\n';
			size_t most = into[k][0] == '\0' ? sizeof(mail) : 30000;
			for (; n + piece + 4 < most; n += piece)
				memcpy(mail + n, much[i], piece);
			memcpy(mail + n, "\n\nHi", 4);
			arena_reset(a);
			clock_t before = clock();
			gather("", (struct slice){mail, n + 4}, a, &out);
			assert_true(clock() - before < CLOCKS_PER_SEC / 2);
			done++;
		}
	assert_int_equal(done, sizeof(much) / sizeof(much[0]) * sizeof(into) / sizeof(into[0]));
	arena_free(&a);
}

int
main(void)
{
	message_load_charsets();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_and_nearly_has),
		cmocka_unit_test(innocence),
		cmocka_unit_test(groups_are_bounded),
		cmocka_unit_test(each_phrase),
		cmocka_unit_test(listings),
		cmocka_unit_test(a_bounce_is_judged_by_its_origin),
		cmocka_unit_test(names),
		cmocka_unit_test(hostile),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(much_of_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
