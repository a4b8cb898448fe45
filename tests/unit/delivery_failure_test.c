/* What a failed attempt means (OUT-10): the built-in rules, the codes, the rules' language. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "delivery/failure.h"
#include "feed.h"

enum lasts { P, T }; /* permanent, temporary */

struct reply_case {
	const char *line;
	enum failure_phase at;
	enum failure_class class;
	enum lasts lasts;
};

static struct arena *arena;
static struct failure_rules *built_in;

static struct smtp_reply
reply_of(const char *line)
{
	struct smtp_reply r;
	size_t taken;
	char wire[4096];
	int n = snprintf(wire, sizeof(wire), "%s\r\n", line);
	assert_in_range(n, 5, sizeof(wire) - 1);
	struct slice in = {wire, (size_t)n};
	if (smtp_reply_read(in, arena, &r, &taken) != 0)
		fail_msg("no reply: %s", line);
	return r;
}

static struct failure
judge(const struct failure_rules *rules, const char *line, enum failure_phase at)
{
	struct smtp_reply r = reply_of(line);
	struct failure f;
	struct failure_input in = {.reply = &r, .from_hop = true, .phase = at};
	failure_judge(rules, &in, &f);
	return f;
}

/* The turns of phrase of servers and providers that are met most, in words of our own. */
static const struct reply_case replies[] = {
	/* later, by intent */
	{"450 4.2.0 <a@example.org>: Recipient address rejected: Greylisted, see "
	 "http://x.example/",
		FAILURE_AT_RCPT, FAILURE_GREYLISTED, T},
	{"451 4.7.1 Greylisting in action, please come back in 00:04:59", FAILURE_AT_RCPT,
		FAILURE_GREYLISTED, T},
	{"421 4.7.0 You are graylisted; wait", FAILURE_AT_MAIL, FAILURE_GREYLISTED, T},
	{"550 5.7.1 greylisted, come again", FAILURE_AT_RCPT, FAILURE_GREYLISTED, T},
	/* our address */
	{"550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus",
		FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
	 "zen.spamhaus.org",
		FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"550 5.7.606 Access denied, banned sending IP [192.0.2.1]", FAILURE_AT_RCPT,
		FAILURE_LISTED, T},
	{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent, your network is on "
	 "our "
	 "block list (S3140)",
		FAILURE_AT_MAIL, FAILURE_LISTED, T},
	{"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user "
	 "complaints",
		FAILURE_AT_MAIL, FAILURE_LISTED, T},
	{"421-4.7.28 An unusual rate of unsolicited mail comes\r\n421 4.7.28 from your IP "
	 "address",
		FAILURE_AT_DOT, FAILURE_LISTED, T},
	{"550-5.7.1 [192.0.2.1] This message is suspicious due to the very low reputation of "
	 "the\r\n"
	 "550 5.7.1 sending IP address",
		FAILURE_AT_DOT, FAILURE_LISTED, T},
	{"554 192.0.2.1 is listed at bl.example.net", FAILURE_AT_GREETING, FAILURE_LISTED, T},
	{"554 IP=192.0.2.1 - a problem occurred, ask your postmaster to clarify",
		FAILURE_AT_GREETING, FAILURE_LISTED, T},
	{"554 5.7.1 <h.example[192.0.2.1]>: Client host rejected: Access denied",
		FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"554 mx.example.net ESMTP not here", FAILURE_AT_GREETING, FAILURE_LISTED, T},
	{"554 Your access to this mail system has been rejected due to the sending MTA's poor "
	 "reputation",
		FAILURE_AT_GREETING, FAILURE_LISTED, T},
	{"450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]",
		FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"550-5.7.25 [2001:db8::25] The sending address has no PTR record\r\n"
	 "550 5.7.25 for it",
		FAILURE_AT_DOT, FAILURE_LISTED, T},
	{"550 5.7.25 Sorry", FAILURE_AT_DOT, FAILURE_LISTED, T},
	{"421 4.7.0 mx.example.net Error: too many connections from 192.0.2.1",
		FAILURE_AT_GREETING, FAILURE_LISTED, T},
	{"452 4.5.3 You have exceeded the rate limit", FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"550 5.1.1 <a@example.org> 192.0.2.1 has sent to too many recipients this hour",
		FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"550 5.1.1 Mail from 192.0.2.1 blocked, see https://www.spamhaus.org/",
		FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"450 4.7.1 <mx>: Helo command rejected: Host not found", FAILURE_AT_RCPT,
		FAILURE_LISTED, T},
	/* the sender */
	{"550-5.7.26 Unauthenticated email from example.com is not accepted due to the "
	 "domain's\r\n"
	 "550 5.7.26 DMARC policy",
		FAILURE_AT_DOT, FAILURE_AUTHENTICATION, P},
	{"550 5.7.26 No", FAILURE_AT_DOT, FAILURE_AUTHENTICATION, P},
	{"550 5.7.23 The message was rejected because of SPF policy", FAILURE_AT_MAIL,
		FAILURE_AUTHENTICATION, P},
	{"451 4.7.26 mail that passes neither DKIM nor SPF is rate limited", FAILURE_AT_DOT,
		FAILURE_AUTHENTICATION, T},
	{"554 5.7.5 Permanent error evaluating DMARC policy", FAILURE_AT_DOT,
		FAILURE_AUTHENTICATION, P},
	{"450 4.1.8 <a@example.com>: Sender address rejected: Domain not found",
		FAILURE_AT_RCPT, FAILURE_AUTHENTICATION, T},
	{"550 Sender verify failed", FAILURE_AT_RCPT, FAILURE_AUTHENTICATION, P},
	{"550 5.1.7 No", FAILURE_AT_MAIL, FAILURE_AUTHENTICATION, P},
	{"550 5.7.60 Client does not have permissions to send as this sender", FAILURE_AT_DOT,
		FAILURE_AUTHENTICATION, P},
	{"530 5.7.57 Client not authenticated to send mail", FAILURE_AT_MAIL,
		FAILURE_AUTHENTICATION, P},
	{"535 5.7.8 Error: authentication failed", FAILURE_AT_AUTH, FAILURE_AUTHENTICATION, T},
	/* the mail */
	{"554 5.7.1 Message rejected under suspicion of SPAM", FAILURE_AT_DOT, FAILURE_CONTENT,
		P},
	{"550 5.7.1 This message was found to be spam by the content filter", FAILURE_AT_DOT,
		FAILURE_CONTENT, P},
	{"550 High probability of spam", FAILURE_AT_DOT, FAILURE_CONTENT, P},
	{"550 5.7.1 Virus (Eicar-Test) found", FAILURE_AT_DOT, FAILURE_CONTENT, P},
	{"552-5.7.0 This message was blocked because its content presents a potential\r\n"
	 "552 5.7.0 security issue",
		FAILURE_AT_DOT, FAILURE_CONTENT, P},
	{"554 5.7.1 Blacklisted URL in message: see http://lookup.uribl.com/", FAILURE_AT_DOT,
		FAILURE_CONTENT, P},
	{"550-5.7.1 This message is not RFC 5322 compliant: multiple From headers\r\n"
	 "550 5.7.1 are not accepted",
		FAILURE_AT_DOT, FAILURE_CONTENT, P},
	{"550 maximum allowed line length is 998 octets, got 1200", FAILURE_AT_DOT,
		FAILURE_CONTENT, P},
	{"554 5.7.1 [CS01] Message rejected due to local policy.", FAILURE_AT_DOT,
		FAILURE_CONTENT, P},
	{"550 Administrative prohibition", FAILURE_AT_DOT, FAILURE_CONTENT, P},
	{"552 5.3.4 Message size exceeds fixed limit", FAILURE_AT_MAIL, FAILURE_TOO_LARGE, P},
	{"552 Message size exceeds maximum permitted", FAILURE_AT_DOT, FAILURE_TOO_LARGE, P},
	{"523 No", FAILURE_AT_DOT, FAILURE_TOO_LARGE, P},
	/* the recipient */
	{"552-5.2.2 The recipient's inbox is out of storage space and inactive.\r\n"
	 "552 5.2.2 Ask them to clear space",
		FAILURE_AT_RCPT, FAILURE_MAILBOX_FULL, P},
	{"552 5.2.2 Go away", FAILURE_AT_RCPT, FAILURE_MAILBOX_FULL, P},
	{"452 4.2.2 The email account that you tried to reach is over quota", FAILURE_AT_RCPT,
		FAILURE_MAILBOX_FULL, T},
	{"554 5.2.2 mailbox full; "
	 "STOREDRV.Deliver.Exception:QuotaExceededException.MapiException",
		FAILURE_AT_DOT, FAILURE_MAILBOX_FULL, P},
	{"552 Requested mail action aborted: exceeded storage allocation", FAILURE_AT_DOT,
		FAILURE_MAILBOX_FULL, P},
	{"550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n"
	 "550 5.1.1 double-checking the address",
		FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 5.1.1 <spam@example.org>: Recipient address rejected: User unknown in virtual "
	 "mailbox "
	 "table",
		FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 5.4.1 Recipient address rejected: Access denied. [X.prod.protection.outlook.com]",
		FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address "
	 "lookup",
		FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 Unrouteable address", FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 No Such User Here", FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 sorry, no mailbox here by that name (#5.1.1)", FAILURE_AT_RCPT,
		FAILURE_NO_RECIPIENT, P},
	{"550 pardon? (#5.1.1)", FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"550 Requested action not taken: mailbox unavailable", FAILURE_AT_RCPT,
		FAILURE_NO_RECIPIENT, P},
	{"554 delivery error: dd This user doesn't have an example.net account", FAILURE_AT_DOT,
		FAILURE_NO_RECIPIENT, P},
	{"550 5.2.1 The email account that you tried to reach is disabled", FAILURE_AT_RCPT,
		FAILURE_NO_RECIPIENT, P},
	{"550 5.2.1 No", FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"450 4.1.1 <a@example.org>: Recipient address rejected: unverified address",
		FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, T},
	{"556 5.1.10 Domain takes no mail", FAILURE_AT_RCPT, FAILURE_NO_RECIPIENT, P},
	{"521 mx.example.org does not accept mail", FAILURE_AT_GREETING, FAILURE_NO_RECIPIENT,
		P},
	{"521 5.3.2 No", FAILURE_AT_RCPT, FAILURE_LISTED, T},
	{"554 5.7.1 refused by policy: spam", FAILURE_AT_GREETING, FAILURE_LISTED, T},
	{"500 5.5.1 command unrecognized", FAILURE_AT_GREETING, FAILURE_PROTOCOL, P},
	/* at MAIL it is the sender who does not exist */
	{"550 5.1.1 User unknown", FAILURE_AT_MAIL, FAILURE_AUTHENTICATION, P},
	{"550 5.1.1 No", FAILURE_AT_MAIL, FAILURE_AUTHENTICATION, P},
	{"451 4.1.1 mailbox disabled", FAILURE_AT_MAIL, FAILURE_AUTHENTICATION, T},
	/* the remote's own trouble */
	{"450 4.2.1 The user you are trying to contact is receiving mail too quickly",
		FAILURE_AT_RCPT, FAILURE_BUSY, T},
	{"450 Requested mail action not taken: mailbox unavailable", FAILURE_AT_RCPT,
		FAILURE_BUSY, T},
	{"451 4.3.0 Temporary lookup failure", FAILURE_AT_RCPT, FAILURE_BUSY, T},
	{"452 4.3.1 Insufficient system storage", FAILURE_AT_MAIL, FAILURE_BUSY, T},
	{"421 4.3.2 Service not available, closing transmission channel", FAILURE_AT_GREETING,
		FAILURE_BUSY, T},
	{"451 Requested action aborted: local error in processing", FAILURE_AT_DOT,
		FAILURE_BUSY, T},
	{"432 4.3.2 STOREDRV.ClientSubmit; the mailbox's thread limit", FAILURE_AT_DOT,
		FAILURE_BUSY, T},
	{"421 bye", FAILURE_AT_DATA, FAILURE_BUSY, T},
	{"499 what", FAILURE_AT_DATA, FAILURE_BUSY, T},
	/* the way */
	{"454 4.7.0 TLS not available due to local problem", FAILURE_AT_TLS, FAILURE_TLS, T},
	{"454 4.3.0 Not now", FAILURE_AT_TLS, FAILURE_BUSY, T},
	{"454 Not now", FAILURE_AT_TLS, FAILURE_TLS, T},
	{"530 5.7.0 Must issue a STARTTLS command first", FAILURE_AT_MAIL, FAILURE_TLS, P},
	{"500 5.5.2 Error: command not recognized", FAILURE_AT_MAIL, FAILURE_PROTOCOL, P},
	{"503 5.5.1 Error: need MAIL command", FAILURE_AT_RCPT, FAILURE_PROTOCOL, P},
	{"555 5.5.4 Unsupported option: BODY=8BITMIME", FAILURE_AT_MAIL, FAILURE_PROTOCOL, P},
	{"250 2.0.0 queued", FAILURE_AT_DATA, FAILURE_PROTOCOL, T},
	{"554 5.7.1 <a@example.org>: Relay access denied", FAILURE_AT_RCPT, FAILURE_ROUTE, P},
	{"550 5.7.64 TenantAttribution; Relay Access Denied", FAILURE_AT_RCPT, FAILURE_ROUTE,
		P},
	{"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
		FAILURE_AT_RCPT, FAILURE_ROUTE, P},
	{"554 5.4.14 Hop count exceeded - possible mail loop", FAILURE_AT_DOT, FAILURE_ROUTE,
		P},
	{"554 5.4.6 No", FAILURE_AT_DOT, FAILURE_ROUTE, P},
	/* nothing is said */
	{"550 No", FAILURE_AT_RCPT, FAILURE_OTHER, P},
	{"554 5.0.0", FAILURE_AT_DOT, FAILURE_OTHER, P},
	{"550 5.7.1 No", FAILURE_AT_DOT, FAILURE_OTHER, P},
};

static void
test_replies(void **state)
{
	(void)state;
	size_t wrong = 0;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		const struct reply_case *c = &replies[i];
		struct failure f = judge(built_in, c->line, c->at);
		arena_reset(arena);
		if (f.class == c->class && f.permanent == (c->lasts == P) &&
			(f.about == ABOUT_US) == (f.class == FAILURE_LISTED))
			continue;
		print_error("%s\n\t%s %s about %d by %s\n", c->line,
			failure_class_text(f.class), f.permanent ? "permanent" : "temporary",
			(int)f.about, f.rule != NULL ? f.rule : "the codes");
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* Our own words have our own codes, and no words have only a phase. */
static void
test_own(void **state)
{
	(void)state;
	static const struct {
		const char *line; /* NULL: code 0 */
		enum failure_phase at;
		enum failure_class class;
		enum lasts lasts;
		enum failure_about about;
	} cases[] = {
		{NULL, FAILURE_AT_DNS, FAILURE_ROUTE, T, ABOUT_THE_WAY},
		{NULL, FAILURE_AT_CONNECT, FAILURE_ROUTE, T, ABOUT_THE_WAY},
		{NULL, FAILURE_AT_GREETING, FAILURE_PROTOCOL, T, ABOUT_THE_WAY},
		{NULL, FAILURE_AT_TLS, FAILURE_TLS, T, ABOUT_THE_WAY},
		{NULL, FAILURE_AT_AUTH, FAILURE_AUTHENTICATION, T, ABOUT_THE_WAY},
		{NULL, FAILURE_AT_DOT, FAILURE_PROTOCOL, T, ABOUT_THE_WAY},
		{"556 5.1.10 The domain takes no mail (null MX)", FAILURE_AT_DNS,
			FAILURE_NO_RECIPIENT, P, ABOUT_RECIPIENT},
		{"554 5.4.6 Mail for the domain would come back to us", FAILURE_AT_DNS,
			FAILURE_ROUTE, P, ABOUT_THE_WAY},
		{"451 4.4.3 The domain cannot be looked up now", FAILURE_AT_DNS, FAILURE_ROUTE,
			T, ABOUT_THE_WAY},
		{"451 4.7.5 a greylisted spammer of spamhaus.org", FAILURE_AT_TLS, FAILURE_TLS,
			T, ABOUT_THE_WAY},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply r = {0};
		struct failure f;
		if (cases[i].line != NULL)
			r = reply_of(cases[i].line);
		struct failure_input in = {.reply = &r, .phase = cases[i].at};
		failure_judge(built_in, &in, &f);
		assert_int_equal(f.class, cases[i].class);
		assert_int_equal(f.permanent, cases[i].lasts == P);
		assert_int_equal(f.about, cases[i].about);
		assert_null(f.rule);
	}
}

static void
test_names(void **state)
{
	(void)state;
	enum failure_class c;
	for (unsigned i = 0; i < FAILURE_CLASSES; i++) {
		assert_true(failure_class_parse(
			slice_of(failure_class_text((enum failure_class)i)), &c));
		assert_int_equal(c, i);
	}
	assert_false(failure_class_parse(SLICE(""), &c));
	assert_false(failure_class_parse(SLICE("Listed"), &c));
	assert_false(failure_class_parse(SLICE("liste"), &c));
	for (unsigned i = 0; i < FAILURE_PHASES; i++)
		assert_true(strlen(failure_phase_text((enum failure_phase)i)) > 1);
}

static struct failure_rules *
parse(struct slice text, struct err *err)
{
	struct guarded g = guarded_new(text);
	struct failure_rules *r = failure_rules_parse(g.in, "site", err);
	guarded_free(&g);
	return r;
}

/* One rule, one reply, whether it fits. */
static const struct {
	const char *rule, *line, *host;
	enum failure_phase at;
	bool fits;
} conditions[] = {
	{"", "550 x", "", FAILURE_AT_RCPT, true},
	{"at rcpt,dot", "550 x", "", FAILURE_AT_DOT, true},
	{"at rcpt,dot", "550 x", "", FAILURE_AT_DATA, false},
	{"code 550", "550 x", "", FAILURE_AT_RCPT, true},
	{"code 550", "551 x", "", FAILURE_AT_RCPT, false},
	{"code 4xx,55x", "559 x", "", FAILURE_AT_RCPT, true},
	{"code 4xx,55x", "560 x", "", FAILURE_AT_RCPT, false},
	{"enhanced 5.7.1", "550 5.7.1 x", "", FAILURE_AT_RCPT, true},
	{"enhanced 5.7.1", "550 5.7.10 x", "", FAILURE_AT_RCPT, false},
	{"enhanced 5.7.1", "550 x", "", FAILURE_AT_RCPT, false},
	{"enhanced *.7.600-649", "550 5.7.649 x", "", FAILURE_AT_RCPT, true},
	{"enhanced *.7.600-649", "550 5.7.650 x", "", FAILURE_AT_RCPT, false},
	{"enhanced 4.*.*,5.*.9", "550 5.1.9 x", "", FAILURE_AT_RCPT, true},
	{"enhanced 5.1.1", "550 x (#5.1.1)", "", FAILURE_AT_RCPT, true},
	{"enhanced 5.1.1", "550 x 5.1.1.", "", FAILURE_AT_RCPT, true},
	{"enhanced 5.1.1", "550 x 5.1.1.4", "", FAILURE_AT_RCPT, false},
	{"enhanced 5.1.1", "550 x 15.1.1", "", FAILURE_AT_RCPT, false},
	{"enhanced 5.1.1", "550 x 2.5.1.1", "", FAILURE_AT_RCPT, false},
	{"enhanced 5.1.1", "550 x 5.1.1a", "", FAILURE_AT_RCPT, false},
	{"enhanced 5.1.1", "550 5.1. then 5.1.1", "", FAILURE_AT_RCPT, true},
	{"enhanced 4.1.1", "550 x 4.1.1", "", FAILURE_AT_RCPT, false},
	{"enhanced none", "550 x", "", FAILURE_AT_RCPT, true},
	{"enhanced none", "550 5.0.0 x", "", FAILURE_AT_RCPT, false},
	{"enhanced none", "550 x (#5.0.0)", "", FAILURE_AT_RCPT, false},
	{"enhanced none,*.1.*", "550 5.1.0 x", "", FAILURE_AT_RCPT, true},
	{"enhanced *.*.*", "550 x", "", FAILURE_AT_RCPT, false},
	{"host mx.example.com", "550 x", "MX.example.com", FAILURE_AT_RCPT, true},
	{"host mx.example.com", "550 x", "mx.example.com.au", FAILURE_AT_RCPT, false},
	{"host *.example.com", "550 x", "a.b.example.com", FAILURE_AT_RCPT, true},
	{"host *.example.com", "550 x", "example.com", FAILURE_AT_RCPT, false},
	{"host mx*.a.*.com", "550 x", "mx1.A.b.com", FAILURE_AT_RCPT, true},
	{"host mx*.a.*.com", "550 x", "mx1.a.com", FAILURE_AT_RCPT, false},
	{"host mx*mx", "550 x", "mx", FAILURE_AT_RCPT, false},
	{"host *", "550 x", "", FAILURE_AT_RCPT, true},
	{"host a,b", "550 x", "b", FAILURE_AT_RCPT, true},
	{"words \"no user\"", "550 Sorry, No  User", "", FAILURE_AT_RCPT, true},
	{"words \"no user\"", "550-sorry, no\r\n550 user", "", FAILURE_AT_RCPT, true},
	{"words \"no user\"", "550 casino user", "", FAILURE_AT_RCPT, false},
	{"words \"no user\"", "550 casino user, no username", "", FAILURE_AT_RCPT, true},
	{"words \"*no user\"", "550 casino user", "", FAILURE_AT_RCPT, true},
	{"words \"no*user*here\"", "550 no such user is here", "", FAILURE_AT_RCPT, true},
	{"words \"no*user*here\"", "550 here is no user", "", FAILURE_AT_RCPT, false},
	{"words \"aa\" | \"bb\"", "550 bb", "", FAILURE_AT_RCPT, true},
	{"words \"aa\" words \"bb\"", "550 bb", "", FAILURE_AT_RCPT, false},
	{"words \"aa\" words \"bb\"", "550 bb aa", "", FAILURE_AT_RCPT, true},
	{"words \"aa\" but \"bb\" | \"cc\"", "550 aa", "", FAILURE_AT_RCPT, true},
	{"words \"aa\" but \"bb\" | \"cc\"", "550 cc aa", "", FAILURE_AT_RCPT, false},
	{"words \"spam\"", "550 <spam@spam.example>: no", "", FAILURE_AT_RCPT, false},
	{"words \"<@>: no\"", "550 <spam@spam.example>: no", "", FAILURE_AT_RCPT, true},
	{"words \"@\"", "550 @", "", FAILURE_AT_RCPT, true},
	{"words \"from %\"", "550 from 192.0.2.1.", "", FAILURE_AT_RCPT, true},
	{"words \"from [%]\"", "550 from [2001:db8::1]", "", FAILURE_AT_RCPT, true},
	{"words \"from %\"", "550 from 192.0.2.1a", "", FAILURE_AT_RCPT, false},
	{"words \"from %\"", "550 from 5.7.1", "", FAILURE_AT_RCPT, false},
	/* URLs and names of hosts */
	{"words \"spam\"", "550 see http://spam.example/spam?a=[spam]", "", FAILURE_AT_RCPT,
		true}, /* what a bracket ends */
	{"words \"spam\"", "550 see https://spam.example:25/spam?spam", "", FAILURE_AT_RCPT,
		false},
	{"words \"spam\"", "550 see http://example.com spam", "", FAILURE_AT_RCPT, true},
	{"words \"*spam\"", "550 see http://example.com/spam", "", FAILURE_AT_RCPT, true},
	{"words \"see ~ ,\"", "550 see http://a.b/c ,", "", FAILURE_AT_RCPT, true},
	{"words \"spam\"", "550 spam.mx.example says no", "", FAILURE_AT_RCPT, false},
	{"words \"spam\"", "550 no.mx.spam: no", "", FAILURE_AT_RCPT, false},
	{"words \"*spam\"", "550 spam.mx.example says no", "", FAILURE_AT_RCPT, true},
	{"words \"spam\"", "550 spam.example says no", "", FAILURE_AT_RCPT, true},
	{"words \"spam\"", "550 spam...12ab...", "", FAILURE_AT_RCPT, true},
	{"words \"spam\"", "550 it.is.spam.", "", FAILURE_AT_RCPT, false},
	{"words \"spam\"", "550 is.spam.", "", FAILURE_AT_RCPT, true},
	{"words \"http\"", "550 http", "", FAILURE_AT_RCPT, true},
	{"words \"http\"", "550 http://", "", FAILURE_AT_RCPT, false},
	/* the prefix of Postfix */
	{"words \"recipient\"", "550 Recipient address rejected: no", "", FAILURE_AT_RCPT,
		false},
	{"words \"*recipient\"", "550 Recipient address rejected: no", "", FAILURE_AT_RCPT,
		true},
	{"words \"recipient\"", "550 Recipient address rejected:", "", FAILURE_AT_RCPT, true},
	{"words \"aa\"\n\t| \"bb\"\n code 550", "550 bb", "", FAILURE_AT_RCPT, true},
};

static void
test_conditions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		struct slice text = arena_printf(
			arena, "# one\n\nit %s => tls permanent\n", conditions[i].rule);
		struct err err;
		struct failure_rules *r = parse(text, &err);
		if (r == NULL)
			fail_msg("%s", err.text);
		struct smtp_reply reply = reply_of(conditions[i].line);
		struct failure_input in = {
			&reply, true, conditions[i].at, slice_of(conditions[i].host)};
		struct failure f;
		failure_judge(r, &in, &f);
		if ((f.rule != NULL) != conditions[i].fits)
			fail_msg("%s: %s", conditions[i].rule, conditions[i].line);
		if (conditions[i].fits) {
			assert_string_equal(f.rule, "it");
			assert_int_equal(f.class, FAILURE_TLS);
			assert_true(f.permanent);
		}
		failure_rules_free(&r);
		assert_null(r);
	}
}

#define LONG_40  "a234567890123456789012345678901234567890"
#define LONG_200 LONG_40 LONG_40 LONG_40 LONG_40 LONG_40

static const struct {
	const char *text, *error; /* NULL: taken */
} parse_cases[] = {
	{"", NULL},
	{"# only words", NULL},
	{"\n  \n\t\n# a\n \n", NULL},
	{"a => tls by-code", NULL},
	{"a words \"x1\"=> tls by-code\nb => route temporary\n", NULL},
	{"a code 550\n\n", "site:1: no \"=>\" in the rule"},
	{"a => tls by-code\n\n  => tls", "site:3: a line that goes on, and no rule before it"},
	{"# x\na =>\n", "site:2: no class is called \"\""},
	{"a => Tls by-code", "site:1: no class is called \"Tls\""},
	{"a => tls", "site:1: permanent, temporary or by-code, not \"\""},
	{"a => tls forever", "site:1: permanent, temporary or by-code, not \"forever\""},
	{"a => tls by-code x", "site:1: the rule ends behind its outcome"},
	{"a => tls\n\tby-code\n\tx", "site:3: the rule ends behind its outcome"},
	{"=> tls by-code", "site:1: a name is of letters, digits and '-', not \"=>\""},
	{"\"a\" => tls by-code", "site:1: a rule begins with its name, of at most 40 bytes"},
	{LONG_40 " => tls by-code", NULL},
	{LONG_40 "x => tls by-code",
		"site:1: a rule begins with its name, of at most 40 bytes"},
	{"a => tls by-code\nb => tls by-code\na => tls by-code",
		"site:3: there is a rule already that is called \"a\""},
	{"a wörds => tls by-code",
		"site:1: at, code, enhanced, host, words, but or =>, not \"wörds\""},
	{"a | => tls by-code", "site:1: at, code, enhanced, host, words, but or =>, not \"\""},
	{"a at", "site:1: nothing stands behind \"at\""},
	{"a at here => tls by-code", "site:1: no phase is called \"here\""},
	{"a at rcpt, => tls by-code", "site:1: no phase is called \"\""},
	{"a at rcpt at dot => tls by-code", "site:1: a second \"at\""},
	{"a code 55 => tls by-code", "site:1: no reply code (as 550 or 5xx): \"55\""},
	{"a code 650 => tls by-code", "site:1: no reply code (as 550 or 5xx): \"650\""},
	{"a code x50 => tls by-code", "site:1: no reply code (as 550 or 5xx): \"x50\""},
	{"a code 550,,551 => tls by-code", "site:1: no reply code (as 550 or 5xx): \"\""},
	{"a code 550 code 551 => tls by-code", "site:1: a second \"code\""},
	{"a enhanced 5.7 => tls by-code",
		"site:1: no enhanced code (as 5.7.1, *.2.2 or 5.7.600-649): \"5.7\""},
	{"a enhanced 5.7.1.1 => tls by-code",
		"site:1: no enhanced code (as 5.7.1, *.2.2 or 5.7.600-649): \"5.7.1.1\""},
	{"a enhanced 5.7.1000 => tls by-code",
		"site:1: no enhanced code (as 5.7.1, *.2.2 or 5.7.600-649): \"5.7.1000\""},
	{"a enhanced 5.7.9-8 => tls by-code",
		"site:1: no enhanced code (as 5.7.1, *.2.2 or 5.7.600-649): \"5.7.9-8\""},
	{"a enhanced 5.7.1 enhanced 5.7.2 => tls by-code", "site:1: a second \"enhanced\""},
	{"a host m/x => tls by-code", "site:1: no pattern of a host's name: \"m/x\""},
	{"a host , => tls by-code", "site:1: one to 128 patterns of hosts"},
	{"a host a host b => tls by-code", "site:1: a second \"host\""},
	{"a words => tls by-code", "site:1: words stand in \"...\""},
	{"a words \"x1\" | => tls by-code", "site:1: words stand in \"...\""},
	{"a words \"x1 => tls by-code", "site:1: no '\"' at the end of the words"},
	{"a words \"x1\n \" => tls by-code", "site:1: no '\"' at the end of the words"},
	{"a words \"x\" => tls by-code", "site:1: words of less than two letters say nothing"},
	{"a words \" * * \" => tls by-code",
		"site:1: words of less than two letters say nothing"},
	{"a words \"caf\xc3\xa9\" => tls by-code", "site:1: words are of printable ASCII"},
	{"a words \"x1\x01\" => tls by-code", "site:1: a control character"},
	{"a => tls by-code\r\n", "site:1: a control character"},
	{"#" LONG_200 LONG_200 LONG_200 LONG_200 LONG_200,
		"site:1: a line of more than 1000 bytes"},
	{"\n#" LONG_200 LONG_200 LONG_200 LONG_200 LONG_40 LONG_40 LONG_40 LONG_40 "\n", NULL},
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(parse_cases) / sizeof(parse_cases[0]); i++) {
		struct err err = {0};
		struct failure_rules *r = parse(slice_of(parse_cases[i].text), &err);
		if ((r != NULL) != (parse_cases[i].error == NULL))
			fail_msg("%s: %s", parse_cases[i].text, err.text);
		if (r == NULL)
			assert_string_equal(err.text, parse_cases[i].error);
		failure_rules_free(&r);
	}
}

/* Cut anywhere it is rules or a message with a line, and the text is not read any further. */
static void
test_cut(void **state)
{
	(void)state;
	static const char text[] = "# x\na at rcpt code 5xx enhanced 5.7.1 host *.b\n"
				   "\twords \"ab*c\" | \"de\" but \"fg\" => tls by-code\n\n"
				   "b => route temporary\n";
	size_t taken = 0;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct err err = {0};
		struct failure_rules *r = parse((struct slice){text, n}, &err);
		taken += r != NULL;
		assert_true(r != NULL || strncmp(err.text, "site:", 5) == 0);
		failure_rules_free(&r);
	}
	/* The comment, the whole first rule and its line ends, the whole second rule. */
	assert_int_equal(taken, 5 + 3 + 2);
}

static struct slice
many(const char *front, const char *each, size_t n, const char *end)
{
	static struct buf b;
	buf_fini(&b);
	buf_init(&b, 1024 * 1024);
	assert_int_equal(buf_add_text(&b, front), 0);
	for (size_t i = 0; i < n; i++)
		if (strstr(each, "%zu") != NULL)
			assert_int_equal(buf_printf(&b, "r%zu => tls by-code\n", i), 0);
		else
			assert_int_equal(buf_add_text(&b, each), 0);
	assert_int_equal(buf_add_text(&b, end), 0);
	return buf_slice(&b);
}

static void
check_bound(struct slice text, const char *error)
{
	struct err err = {0};
	struct failure_rules *r = parse(text, &err);
	if ((r != NULL) != (error == NULL))
		fail_msg("taken or not: %s", err.text);
	if (r == NULL)
		assert_string_equal(err.text, error);
	failure_rules_free(&r);
}

static void
test_bounds(void **state)
{
	(void)state;
	check_bound(many("", "%zu", 2000, ""), NULL);
	check_bound(many("", "%zu", 2001, ""), "site:2001: too many rules");
	check_bound(many("", "#\n", 128 * 1024, ""), NULL);
	check_bound(many("", "#\n", 128 * 1024, "\n"), "site: larger than 262144 bytes");
	check_bound(many("a words \"x1\"\n", " | \"x1\"\n", 127, " => tls by-code"), NULL);
	check_bound(many("a words \"x1\"\n", " | \"x1\"\n", 128, " => tls by-code"),
		"site:129: too many alternatives in one clause");
	check_bound(many("a", " but \"x1\"\n", 8, " => tls by-code"), NULL);
	check_bound(many("a", " but \"x1\"\n", 9, " => tls by-code"),
		"site:9: too many clauses of words in one rule");
	check_bound(many("a code 550", ",550", 127, " => tls by-code"), NULL);
	check_bound(
		many("a code 550", ",550", 128, " => tls by-code"), "site:1: too many codes");
	check_bound(many("a host b", ",b", 127, " => tls by-code"), NULL);
	check_bound(many("a host b", ",b", 128, " => tls by-code"),
		"site:1: one to 128 patterns of hosts");
	check_bound(many("a enhanced 5.7.1", ",5.7.1", 127, " => tls by-code"), NULL);
	check_bound(many("a enhanced 5.7.1", ",5.7.1", 128, " => tls by-code"),
		"site:1: too many enhanced codes");
	many("", "", 0, "");
}

/* 2 KiB of words are looked at, the next byte is not; nothing behind the text is read. */
static void
test_long_words(void **state)
{
	(void)state;
	struct err err;
	struct failure_rules *r = parse(SLICE("a words \"end\" => tls by-code"), &err);
	assert_non_null(r);
	for (size_t n = 2040; n < 2060; n++) {
		char *text = arena_alloc(arena, n);
		memset(text, '.', n);
		if (n % 2 == 0) /* an address counts with all its bytes */
			memcpy(text, "<user@example.org>", 18);
		memcpy(text + n - 3, "END", 3);
		struct guarded g = guarded_new((struct slice){text, n});
		struct smtp_reply reply = {.code = 550, .text = g.in};
		struct failure_input in = {&reply, true, FAILURE_AT_RCPT, SLICE_NONE};
		struct failure f;
		failure_judge(r, &in, &f);
		assert_int_equal(f.rule != NULL, n <= 2048);
		guarded_free(&g);
	}
	failure_rules_free(&r);
}

static char *
file_of(const char *text)
{
	static char path[] = "/tmp/failure_test_XXXXXX";
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

/* A site's file is asked first; one that is wrong changes nothing. */
static void
test_site_file(void **state)
{
	(void)state;
	struct err err;
	struct failure_rules *r = failure_rules_new(&err);
	assert_non_null(r);
	static const char line[] = "550 5.1.1 User unknown";
	assert_int_equal(judge(r, line, FAILURE_AT_RCPT).class, FAILURE_NO_RECIPIENT);

	char *path = file_of("mine words \"user unknown\" => listed permanent\n");
	assert_int_equal(failure_rules_add(r, path, &err), 0);
	unlink(path);
	struct failure f = judge(r, line, FAILURE_AT_RCPT);
	assert_string_equal(f.rule, "mine");
	assert_int_equal(f.class, FAILURE_LISTED);
	assert_int_equal(f.about, ABOUT_US);
	assert_true(f.permanent); /* the administrator said so */

	path = file_of("mine words \"user unknown\" => greylisted by-code\n");
	assert_int_equal(failure_rules_add(r, path, &err), 0);
	unlink(path);
	f = judge(r, line, FAILURE_AT_RCPT);
	assert_int_equal(f.class, FAILURE_GREYLISTED);
	assert_false(f.permanent);

	path = file_of("ok => tls by-code\nno rule\n");
	assert_int_equal(failure_rules_add(r, path, &err), -1);
	unlink(path);
	assert_non_null(strstr(err.text, ":2: "));
	assert_memory_equal(err.text, path, strlen(path));
	assert_int_equal(failure_rules_add(r, path, &err), -1); /* not there */
	assert_int_equal(judge(r, line, FAILURE_AT_RCPT).class, FAILURE_GREYLISTED);

	path = file_of("");
	int added = 0;
	while (added < 100 && failure_rules_add(r, path, &err) == 0)
		added++;
	unlink(path);
	assert_int_equal(added, 13); /* sixteen files in all */
	failure_rules_free(&r);
	failure_rules_free(&r);
}

static int
set_up(void **state)
{
	(void)state;
	struct err err;
	arena = arena_new(4 * 1024 * 1024);
	built_in = failure_rules_new(&err);
	if (built_in == NULL)
		print_error("%s\n", err.text);
	return built_in != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	failure_rules_free(&built_in);
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_site_file),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
