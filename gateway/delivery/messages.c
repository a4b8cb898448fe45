/*
 * Mails, results and questions as bytes between a client and a delivery process; see
 * messages.h, and relay/pack.h for the parts of a mail. What is unpacked is checked as strictly
 * as what comes from the network: the other process may be broken.
 */
#include "delivery/messages.h"

#include "base/must.h"
#include "relay/pack.h"

enum {
	RESULT_TEXT_BYTES = 16 * 1024, /* words of all replies of a result */
	RESULT_WORDS_MOST = 512,       /* host, address, hop */
	RCPT_LEAST = RELAY_ADDRESS_LEAST + RELAY_RCPT_PARAMS_LEAST,
};

/* ---- the mail ---- */

int
delivery_mail_pack(const struct delivery_mail *m, struct ipc_out *out, int *fd_out)
{
	struct slice payload;
	*fd_out = -1;
	struct slice route = m->way == DELIVERY_BY_ROUTE ? m->route : SLICE_NONE;
	if (m->n_rcpts > DELIVERY_RCPTS_MOST || route.n > DELIVERY_ROUTE_MOST)
		return -1;
	ipc_put_slice(out, m->site);
	ipc_put_slice(out, slice_first(m->log, DELIVERY_LOG_BYTES - 1));
	ipc_put_u8(out, (uint8_t)m->way);
	ipc_put_slice(out, route);
	ipc_put_ip(out, &m->prefer);
	ipc_put_bool(out, m->all_or_none);
	ipc_put_u32(out, m->budget_ms);
	relay_put_address(out, &m->sender);
	relay_put_mail_params(out, &m->params);
	ipc_put_u32(out, (uint32_t)m->n_rcpts);
	for (size_t i = 0; i < m->n_rcpts; i++) {
		relay_put_address(out, &m->rcpts[i].address);
		relay_put_rcpt_params(out, &m->rcpts[i].params);
	}
	relay_put_body(out, &m->body, fd_out);
	return ipc_out_ok(out, &payload) ? 0 : -1;
}

/* It may go over lines, as in the configuration. */
static void
get_route(struct ipc_in *in, struct delivery_mail *m)
{
	m->route = ipc_get_slice(in);
	if (m->route.n > DELIVERY_ROUTE_MOST || slice_has(m->route, '\0') ||
		(m->way == DELIVERY_BY_ROUTE) != (m->route.n > 0))
		in->bad = true;
}

bool
delivery_mail_unpack(struct slice payload, int fd, struct arena *a, struct delivery_mail *m)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*m = (struct delivery_mail){0};
	m->site = relay_get_words(&in, RELAY_DOMAIN_MOST);
	m->log = relay_get_words(&in, DELIVERY_LOG_BYTES - 1);
	m->way = (enum delivery_way)ipc_get_enum(&in, DELIVERY_WAYS);
	get_route(&in, m);
	ipc_get_ip(&in, &m->prefer);
	m->all_or_none = ipc_get_bool(&in);
	m->budget_ms = ipc_get_u32(&in);
	relay_get_address(&in, &m->sender);
	relay_get_mail_params(&in, &m->params);
	m->n_rcpts = ipc_get_count(&in, DELIVERY_RCPTS_MOST, RCPT_LEAST);
	if (in.bad || m->n_rcpts == 0 || m->site.n == 0)
		return false;
	m->rcpts = arena_array(a, m->n_rcpts, sizeof(*m->rcpts));
	for (size_t i = 0; i < m->n_rcpts; i++) {
		m->rcpts[i] = (struct relay_rcpt){0};
		relay_get_address(&in, &m->rcpts[i].address);
		relay_get_rcpt_params(&in, &m->rcpts[i].params);
		if (in.bad || m->rcpts[i].address.is_null)
			return false;
	}
	relay_body_init(&m->body, a);
	relay_get_body(&in, fd, &m->body);
	return ipc_in_done(&in) && m->body.bytes > 0;
}

/* ---- the result ---- */

static bool
is_same(const struct smtp_reply *a, const struct smtp_reply *b)
{
	return a->code == b->code && slice_eq(a->text, b->text);
}

enum failure_phase
delivery_rcpt_at(const struct delivery_result *r, size_t rcpt)
{
	must(rcpt < r->n_rcpts);
	enum smtp_client_phase phase = r->rcpts[rcpt].phase;
	if (phase == SMTP_CL_MAIL)
		return FAILURE_AT_MAIL;
	if (phase == SMTP_CL_RCPT)
		return FAILURE_AT_RCPT;
	if (phase == SMTP_CL_DATA || phase == SMTP_CL_BODY)
		return FAILURE_AT_DATA;
	return phase == SMTP_CL_DOT ? FAILURE_AT_DOT : r->at;
}

void
delivery_result_pack(const struct delivery_result *r, struct ipc_out *out)
{
	size_t text_most = RESULT_TEXT_BYTES / (r->n_rcpts + 1);
	struct slice payload;
	relay_put_reply(out, &r->reply, text_most);
	ipc_put_u8(out, (uint8_t)r->phase);
	ipc_put_bool(out, r->from_hop);
	ipc_put_slice(out, slice_first(r->hop, RESULT_WORDS_MOST));
	ipc_put_slice(out, slice_first(r->host, RESULT_WORDS_MOST));
	ipc_put_slice(out, slice_first(r->address, RESULT_WORDS_MOST));
	ipc_put_bool(out, r->tls);
	ipc_put_bool(out, r->tls_verified);
	ipc_put_bool(out, r->dsn);
	ipc_put_u32(out, r->attempts);
	ipc_put_u8(out, (uint8_t)r->at);
	ipc_put_slice(out, slice_first(r->banner, DELIVERY_BANNER_BYTES));
	ipc_put_bool(out, r->starttls);
	ipc_put_u64(out, r->certificate);
	ipc_put_u64(out, r->mx_set);
	ipc_put_u32(out, (uint32_t)r->n_rcpts);
	for (size_t i = 0; i < r->n_rcpts; i++) {
		const struct relay_rcpt *rcpt = &r->rcpts[i];
		bool same = is_same(&rcpt->reply, &r->reply);
		ipc_put_u8(out, (uint8_t)rcpt->fate);
		ipc_put_u8(out, (uint8_t)rcpt->phase);
		ipc_put_bool(out, same);
		if (!same)
			relay_put_reply(out, &rcpt->reply, text_most);
	}
	must(ipc_out_ok(out, &payload));
}

bool
delivery_result_unpack(struct slice payload, struct arena *a, struct delivery_result *r)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*r = (struct delivery_result){0};
	relay_get_reply(&in, a, &r->reply);
	r->phase = (enum smtp_client_phase)ipc_get_enum(&in, SMTP_CL_CLOSED + 1);
	r->from_hop = ipc_get_bool(&in);
	r->hop = relay_get_words(&in, RESULT_WORDS_MOST);
	r->host = relay_get_words(&in, RESULT_WORDS_MOST);
	r->address = relay_get_words(&in, RESULT_WORDS_MOST);
	r->tls = ipc_get_bool(&in);
	r->tls_verified = ipc_get_bool(&in);
	r->dsn = ipc_get_bool(&in);
	r->attempts = ipc_get_u32(&in);
	r->at = (enum failure_phase)ipc_get_enum(&in, FAILURE_PHASES);
	r->banner = relay_get_words(&in, DELIVERY_BANNER_BYTES);
	r->starttls = ipc_get_bool(&in);
	r->certificate = ipc_get_u64(&in);
	r->mx_set = ipc_get_u64(&in);
	r->n_rcpts = ipc_get_count(&in, DELIVERY_RCPTS_MOST, 3);
	if (in.bad)
		return false;
	r->rcpts = arena_array(a, r->n_rcpts + 1, sizeof(*r->rcpts));
	for (size_t i = 0; i < r->n_rcpts && !in.bad; i++) {
		struct relay_rcpt *rcpt = &r->rcpts[i];
		rcpt->fate = (enum relay_fate)ipc_get_enum(&in, RELAY_DOUBT + 1);
		rcpt->phase = (enum smtp_client_phase)ipc_get_enum(&in, SMTP_CL_CLOSED + 1);
		rcpt->reply = r->reply;
		if (!ipc_get_bool(&in))
			relay_get_reply(&in, a, &rcpt->reply);
	}
	return ipc_in_done(&in);
}

/* ---- one recipient's question ---- */

void
delivery_rcpt_question_pack(const struct delivery_rcpt_question *q, struct ipc_out *out)
{
	ipc_put_slice(out, q->site);
	ipc_put_slice(out, slice_first(q->log, DELIVERY_LOG_BYTES - 1));
	ipc_put_u32(out, q->budget_ms);
	relay_put_address(out, &q->sender);
	relay_put_mail_params(out, &q->params);
	relay_put_address(out, &q->rcpt);
	relay_put_rcpt_params(out, &q->rcpt_params);
}

bool
delivery_rcpt_question_unpack(
	struct slice payload, struct arena *a, struct delivery_rcpt_question *q)
{
	struct ipc_in in;
	(void)a;
	ipc_in_init(&in, payload);
	*q = (struct delivery_rcpt_question){0};
	q->site = relay_get_words(&in, RELAY_DOMAIN_MOST);
	q->log = relay_get_words(&in, DELIVERY_LOG_BYTES - 1);
	q->budget_ms = ipc_get_u32(&in);
	relay_get_address(&in, &q->sender);
	relay_get_mail_params(&in, &q->params);
	relay_get_address(&in, &q->rcpt);
	relay_get_rcpt_params(&in, &q->rcpt_params);
	return ipc_in_done(&in) && q->site.n > 0 && !q->rcpt.is_null;
}

void
delivery_rcpt_answer_pack(const struct smtp_reply *r, struct ipc_out *out)
{
	struct slice payload;
	relay_put_reply(out, r, RESULT_TEXT_BYTES);
	must(ipc_out_ok(out, &payload));
}

bool
delivery_rcpt_answer_unpack(struct slice payload, struct arena *a, struct smtp_reply *r)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	relay_get_reply_or_none(&in, a, r);
	return ipc_in_done(&in);
}

size_t
delivery_index(struct slice site, size_t n)
{
	/* FNV-1a: the same in every process, unlike slice_hash. */
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	must(n > 0);
	for (size_t i = 0; i < site.n; i++)
		hash = (hash ^ (unsigned char)ascii_lower(site.p[i])) * UINT64_C(0x100000001b3);
	return (size_t)(hash % n);
}
