/*
 * `send` and `queue`: how outbound mail leaves, how long a client waits for the far side's
 * answer, when the smarthost takes over, and how what is stored is tried again. What needs the
 * spool is noted here and looked at when all is read (check.c).
 */
#include "conf/parse_priv.h"

enum {
	ANSWER_MS_MOST = 600000,
	ANSWER_MAIL_MS = 8000,
	ANSWER_CONNECTION_MS = 30000,
	AFTER_FAILURES = 2,
	AFTER_FAILURES_MOST = 100,
	RETRY_MS_MOST = 86400000,
	RETRY_MOST_MS_MOST = 2 * 86400000,
};

/* `direct`, `smarthost H`, `direct then smarthost H`; behind `queued` it may be left out. */
static bool
send_way(struct parser *p, struct conf_send *s, bool optional)
{
	static const char *const ways[] = {"direct", "smarthost", "queued"};
	struct conf_at at = p->tok.at;
	s->way = SEND_DIRECT;
	if (optional && !parse_at(p, ways[0]) && !parse_at(p, ways[1]))
		return true;
	int way = parse_choice(p, "\"direct\", \"smarthost\" or \"queued\"", ways, 3);
	if (way < 0)
		return false;
	if (way == 1) {
		s->way = SEND_SMARTHOST;
		return parse_hops(p, &s->smarthosts, true);
	}
	if (!parse_accept(p, "then"))
		return true;
	s->way = SEND_DIRECT_THEN_SMARTHOST;
	parse_needs_spool(p, at, "direct then smarthost");
	return parse_word(p, "smarthost") && parse_hops(p, &s->smarthosts, true);
}

static bool
send_defaults(struct parser *p, struct conf_send *s)
{
	uint64_t mail = s->wait_mail_ms, all = s->wait_connection_ms;
	if (s->queued && s->answer_at_rcpt)
		return parse_fail(p, s->at,
			"\"answer at rcpt\" and \"send queued\" exclude each other: what is "
			"queued is answered before the far side is asked");
	if (mail != 0 && all != 0 && all < mail)
		return parse_fail(p, s->at,
			"\"answer within\" leaves a connection less time than one mail");
	/* Where one of the two is not given it makes room for the other. */
	if (mail == 0)
		s->wait_mail_ms = all != 0 && all < ANSWER_MAIL_MS ? all : ANSWER_MAIL_MS;
	if (all == 0)
		s->wait_connection_ms =
			mail > ANSWER_CONNECTION_MS ? mail : ANSWER_CONNECTION_MS;
	if (s->way == SEND_DIRECT_THEN_SMARTHOST && s->after == 0 && s->after_failures == 0) {
		s->after = SEND_AFTER_LISTED;
		s->after_failures = AFTER_FAILURES;
	}
	return true;
}

bool
parse_send(struct parser *p, struct conf_at at, void *target)
{
	struct conf_send *s = &((struct conf *)target)->send;
	struct conf_at queued_at = p->tok.at;
	*s = (struct conf_send){.at = at, .queued = parse_accept(p, "queued")};
	if (s->queued)
		parse_needs_spool(p, queued_at, "send queued");
	return send_way(p, s, s->queued) && parse_options(p, "send", s) && send_defaults(p, s);
}

/* One cause of `after`: a kind of failure, or `2 failures`. */
static bool
send_cause(struct parser *p, struct conf_send *s)
{
	static const char *const words[] = {"dns", "connect", "tls", "4xx", "listed"};
	static const unsigned causes[] = {SEND_AFTER_DNS, SEND_AFTER_CONNECT, SEND_AFTER_TLS,
		SEND_AFTER_4XX, SEND_AFTER_LISTED};
	struct conf_at at = p->tok.at;
	double n;
	if (p->tok.kind != TOK_NUMBER) {
		int i = parse_choice(p,
			"\"listed\", \"connect\", \"tls\", \"dns\", \"4xx\" or a number of "
			"failures",
			words, 5);
		if (i >= 0 && (s->after & causes[i]) != 0)
			return parse_fail(p, at, "\"%s\" stands a second time behind \"after\"",
				words[i]);
		if (i >= 0)
			s->after |= causes[i];
		return i >= 0;
	}
	if (!parse_number(p, 0, "a number of failures, as in 2 failures", &n))
		return false;
	if (n < 1 || n > AFTER_FAILURES_MOST || n != (double)(uint64_t)n)
		return parse_fail(
			p, at, "\"after\" takes 1 to %d failures", AFTER_FAILURES_MOST);
	if (s->after_failures != 0)
		return parse_fail(p, at, "\"failures\" stands a second time behind \"after\"");
	s->after_failures = (uint64_t)n;
	return parse_accept(p, "failure") || parse_word(p, "failures");
}

/* `after listed, 2 failures` */
bool
parse_send_after(struct parser *p, struct conf_at at, void *target)
{
	struct conf_send *s = target;
	if (s->way != SEND_DIRECT_THEN_SMARTHOST)
		return parse_fail(p, at, "\"after\" belongs to \"send direct then smarthost\"");
	do
		if (!send_cause(p, s))
			return false;
	while (parse_accept_kind(p, TOK_COMMA));
	return true;
}

/* One of `8s per mail`, `30s per connection`. */
static bool
answer_time(struct parser *p, struct conf_send *s)
{
	static const char *const words[] = {"mail", "connection"};
	struct conf_at at = p->tok.at;
	double ms;
	if (!parse_number(p, 'd', "a duration, as in 8s", &ms) || !parse_word(p, "per"))
		return false;
	struct conf_at per_at = p->tok.at;
	int i = parse_choice(p, "\"mail\" or \"connection\"", words, 2);
	if (i < 0)
		return false;
	uint64_t *place = i == 0 ? &s->wait_mail_ms : &s->wait_connection_ms;
	if (ms < 1000 || ms > ANSWER_MS_MOST)
		return parse_fail(p, at, "\"answer within\" must be 1s to 10m");
	if (*place != 0)
		return parse_fail(p, per_at, "\"per %s\" stands a second time", words[i]);
	if (i == 1)
		parse_needs_spool(p, per_at, "per connection");
	*place = (uint64_t)ms;
	return true;
}

/* `answer within 8s per mail, 30s per connection` */
bool
parse_send_answer(struct parser *p, struct conf_at at, void *target)
{
	struct conf_send *s = target;
	if (s->queued)
		return parse_fail(p, at,
			"\"answer within\" and \"send queued\" exclude each other: what is "
			"queued "
			"is answered at once");
	do
		if (!answer_time(p, s))
			return false;
	while (parse_accept_kind(p, TOK_COMMA));
	return true;
}

static bool
retry_time(struct parser *p, const char *what, double most, const char *bounds, uint64_t *out)
{
	struct conf_at at = p->tok.at;
	double ms;
	if (!parse_number(p, 'd', "a duration, as in 5m", &ms))
		return false;
	if (ms < 1000 || ms > most)
		return parse_fail(p, at, "\"%s\" must be %s", what, bounds);
	*out = (uint64_t)ms;
	return true;
}

/* `retry after 5m, up to 4h` */
bool
parse_queue_retry(struct parser *p, struct conf_at at, void *target)
{
	struct conf_queue *q = target;
	if (!retry_time(p, "retry after", RETRY_MS_MOST, "1s to 1d", &q->retry_ms))
		return false;
	if (parse_accept_kind(p, TOK_COMMA) || parse_at(p, "up"))
		if (!parse_word(p, "up") || !parse_word(p, "to") ||
			!retry_time(
				p, "up to", RETRY_MOST_MS_MOST, "1s to 2d", &q->retry_most_ms))
			return false;
	if (q->retry_ms > q->retry_most_ms)
		return parse_fail(p, at, "\"retry after\" is longer than its \"up to\"");
	return true;
}

bool
parse_queue(struct parser *p, struct conf_at at, void *target)
{
	struct conf_queue *q = &((struct conf *)target)->queue;
	if (!parse_settings_block(p, "queue", q))
		return false;
	if (q->retry_ms >= q->lifetime_ms)
		return parse_fail(p, at,
			"\"retry after\" is not shorter than \"lifetime\": nothing is tried "
			"again");
	if (q->delay_notice_ms >= q->lifetime_ms)
		conf_warn(p->report, at,
			"\"delay notice\" is not shorter than \"lifetime\": none is ever sent");
	return true;
}
