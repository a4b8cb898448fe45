/*
 * Sender rights (OUT-13): whose rights hold for a client, and what is held against them in the
 * envelope and in the header; by SMTP and by a milter, which asks the same one question.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "session/rights.h"

#define FRONT                                                               \
	"hostname \"mx.example.com\"\n"                                     \
	"listen milter on \"inet:2525@127.0.0.1\" outbound authenticated\n" \
	"inbound {\naccept\n}\noutbound {\naccept\n}\n"
#define ACCOUNTS                                                                 \
	"user \"alice\" sends as { \"alice@example.com\", \"@team.example\" }\n" \
	"user \"bob\" sends as { \"example.net\" }\n"
#define NETWORKS                                                     \
	"network 10.0.0.0/8 sends as { \"example.com\" }\n"          \
	"network 10.1.2.0/24 sends as { \"printer@example.com\" }\n" \
	"network 127.0.0.0/8 sends as { \"root@example.com\" }\n"    \
	"network 2001:db8::/32 sends as { \"example.org\" }\n"

struct envelope_case {
	const char *conf;
	enum listen_kind kind;
	bool inbound;
	const char *user, *client; /* "": none, local */
	const char *sender;
	const char *refused; /* a part of the reply; NULL: it is taken */
};

#define ACCOUNT "553 5.7.1 This account"
#define NETWORK "553 5.7.1 This network"

static const struct envelope_case envelope_cases[] = {
	{ACCOUNTS, LISTEN_OUTBOUND, false, "alice", "10.1.2.3", "alice@example.com", NULL},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "alice", "10.1.2.3", "Alice@EXAMPLE.com", NULL},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "alice", "10.1.2.3", "any@team.example", NULL},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "alice", "10.1.2.3", "any@sub.team.example",
		ACCOUNT},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "alice", "10.1.2.3", "bob@example.com", ACCOUNT},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "alice", "10.1.2.3", "", NULL},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "bob", "10.1.2.3", "any@example.net", NULL},
	/* an account that is not named may send as nobody, through the gateway */
	{ACCOUNTS, LISTEN_OUTBOUND, false, "eve", "10.1.2.3", "eve@example.com", ACCOUNT},
	{ACCOUNTS, LISTEN_OUTBOUND, false, "eve", "10.1.2.3", "", ACCOUNT},
	{"", LISTEN_OUTBOUND, false, "eve", "10.1.2.3", "eve@example.com", ACCOUNT},
	/* and in a milter where any is named */
	{ACCOUNTS, LISTEN_MILTER, false, "eve", "10.1.2.3", "eve@example.com", ACCOUNT},
	{"", LISTEN_MILTER, false, "eve", "10.1.2.3", "eve@example.com", NULL},
	/* an account is one wherever its mail is judged */
	{ACCOUNTS, LISTEN_MILTER, true, "alice", "10.1.2.3", "eve@example.com", ACCOUNT},
	/* networks: the smallest one */
	{NETWORKS, LISTEN_OUTBOUND, false, "", "10.1.1.1", "any@example.com", NULL},
	{NETWORKS, LISTEN_OUTBOUND, false, "", "10.1.1.1", "any@example.org", NETWORK},
	{NETWORKS, LISTEN_OUTBOUND, false, "", "10.1.1.1", "", NULL},
	{NETWORKS, LISTEN_OUTBOUND, false, "", "10.1.2.1", "printer@example.com", NULL},
	{NETWORKS, LISTEN_OUTBOUND, false, "", "10.1.2.1", "any@example.com", NETWORK},
	{NETWORKS, LISTEN_OUTBOUND, false, "", "2001:db8::1", "any@example.org", NULL},
	{NETWORKS, LISTEN_OUTBOUND, false, "", "2001:db8::1", "any@example.com", NETWORK},
	{NETWORKS, LISTEN_MILTER, false, "", "10.1.2.1", "any@example.com", NETWORK},
	/* one that none has, and mail from outside */
	{NETWORKS, LISTEN_OUTBOUND, false, "", "192.0.2.1", "any@else.example", NULL},
	{NETWORKS, LISTEN_INBOUND, true, "", "10.1.2.1", "any@else.example", NULL},
	{NETWORKS, LISTEN_MILTER, true, "", "10.1.2.1", "any@else.example", NULL},
	/* a program on the MTA's own machine is 127.0.0.1 */
	{NETWORKS, LISTEN_MILTER, false, "", "", "root@example.com", NULL},
	{NETWORKS, LISTEN_MILTER, false, "", "", "any@example.com", NETWORK},
	/* an account goes before its network */
	{ACCOUNTS NETWORKS, LISTEN_OUTBOUND, false, "alice", "10.1.2.1", "alice@example.com",
		NULL},
	{ACCOUNTS NETWORKS, LISTEN_OUTBOUND, false, "alice", "10.1.2.1", "printer@example.com",
		ACCOUNT},
	/* in a milter that names networks alone, accounts are the MTA's */
	{NETWORKS, LISTEN_MILTER, false, "eve", "10.1.2.1", "any@else.example", NULL},
};

static struct flt_session
session_of(const char *user, const char *client, bool inbound)
{
	struct flt_session s = {
		.direction = inbound ? INBOUND : OUTBOUND, .user = slice_of(user)};
	assert_true(client[0] == '\0' || ip_parse(slice_of(client), &s.client));
	return s;
}

static bool
says(const struct smtp_reply *r, const char *refused, struct arena *a)
{
	if (refused == NULL)
		return r->code == 0;
	return r->code != 0 && slice_starts(smtp_reply_line(r, a), slice_of(refused));
}

static void
test_envelope(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(envelope_cases) / sizeof(envelope_cases[0]); i++) {
		const struct envelope_case *c = &envelope_cases[i];
		struct arena *a = arena_new(1 << 20);
		struct conf *conf =
			conf_text(arena_text(a, arena_printf(a, "%s%s", FRONT, c->conf)));
		struct flt_session s = session_of(c->user, c->client, c->inbound);
		struct address sender = {.is_null = true};
		if (c->sender[0] != '\0')
			assert_int_equal(address_parse(slice_of(c->sender), true, a, &sender),
				ADDRESS_OK);
		struct smtp_reply r = rights_envelope(conf, c->kind, &s, &sender);
		if (!says(&r, c->refused, a))
			fail_msg("case %zu, %s by %s %s: %d", i, c->sender, c->user, c->client,
				r.code);
		conf_free(&conf);
		arena_free(&a);
	}
}

struct author_case {
	const char *header;
	const char *refused;
};

#define IN_FROM   "550 5.7.1 This network may not send as the address in From"
#define IN_SENDER "550 5.7.1 This network may not send as the address in Sender"

static const struct author_case author_cases[] = {
	{"From: Ann <ann@example.com>\r\n\r\n", NULL},
	{"Subject: no From, which is added to nobody's name\r\n\r\n", NULL},
	{"From: ann@example.com, eve@example.com\r\n\r\n", NULL},
	{"From: ann@example.com, eve@else.example\r\n\r\n", IN_FROM},
	{"From: ann@sub.example.com\r\n\r\n", IN_FROM},
	{"From: \"ann@example.com\" <eve@else.example>\r\n\r\n", IN_FROM},
	{"From: ann@example.com\r\nFrom: ann@example.com\r\n\r\n", IN_FROM},
	{"From: ann@example.com eve\r\n\r\n", IN_FROM},
	{"From: ann@example.com\r\nSender: sec@example.com\r\n\r\n", NULL},
	{"From: ann@example.com\r\nSender: boss@else.example\r\n\r\n", IN_SENDER},
	{"From: ann@example.com\r\nsender: sec@example.com\r\nSENDER: "
	 "boss@else.example\r\n\r\n",
		IN_SENDER},
	{"From: ann@example.com\r\nSender: ann@example.com boss\r\n\r\n", IN_SENDER},
	{"From: ann@example.com\r\nReply-To: boss@else.example\r\n\r\n", NULL},
};

static void
test_author(void **state)
{
	(void)state;
	struct conf *conf = conf_text(FRONT ACCOUNTS NETWORKS);
	for (size_t i = 0; i < sizeof(author_cases) / sizeof(author_cases[0]); i++) {
		const struct author_case *c = &author_cases[i];
		struct arena *a = arena_new(1 << 20);
		struct message m;
		struct flt_mail mail = {.message = &m};
		message_parse(slice_of(c->header), conf->hostname, false, a, &m);
		struct flt_session s = session_of("", "10.1.1.1", false);
		struct smtp_reply r = rights_author(conf, LISTEN_OUTBOUND, &s, &mail, a);
		if (!says(&r, c->refused, a))
			fail_msg("%s: %d", c->header, r.code);
		/* by an account of the same rights the same, in its own words */
		s = session_of("alice", "10.1.1.1", false);
		r = rights_author(conf, LISTEN_OUTBOUND, &s, &mail, a);
		assert_true(r.code == 0 || slice_starts(smtp_reply_line(&r, a),
						   SLICE("550 5.7.1 This account")));
		/* nobody's rights, nothing held against it */
		s = session_of("", "192.0.2.1", false);
		assert_int_equal(rights_author(conf, LISTEN_OUTBOUND, &s, &mail, a).code, 0);
		arena_free(&a);
	}
	struct flt_mail none = {0};
	struct flt_session s = session_of("", "10.1.1.1", false);
	assert_int_equal(rights_author(conf, LISTEN_OUTBOUND, &s, &none, NULL).code, 0);
	conf_free(&conf);
}

/* What a milter's negotiation asks. */
static void
test_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *conf;
		bool milter;
	} rows[] = {{FRONT, false}, {FRONT ACCOUNTS, true}, {FRONT NETWORKS, true}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf *conf = conf_text(rows[i].conf);
		assert_int_equal(rights_are_named(conf, LISTEN_MILTER), rows[i].milter);
		assert_true(rights_are_named(conf, LISTEN_OUTBOUND));
		conf_free(&conf);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_author),
		cmocka_unit_test(test_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
