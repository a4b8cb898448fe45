/*
 * The header lines that a mail leaves with. They stand above its first field, each a whole line
 * (SMG-05); what came from outside is cleaned before it is written (SRV-10, HDR-05).
 */
#include "session/edits.h"

#include "base/buf.h"
#include "base/clock.h"
#include "filters/authres.h"
#include "filters/flt_spam.h"
#include "filters/spam_text.h"
#include "session/modes.h"

enum { PREFIX_MOST = 64 * 1024 };

/* For a comment or an atom in Received: nothing that ends or nests either. */
static void
add_clean(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n && i < 255; i++) {
		char c = s.p[i];
		bool ok = ascii_alpha(c) || ascii_digit(c) || c == '.' || c == '-' ||
			  c == '_' || c == ':' || c == '[' || c == ']' || c == '@' ||
			  c == '+' || c == '=' || c == '/';
		(void)buf_add_byte(out, ok ? c : '?');
	}
}

/* RFC 3848, 6531: the protocol's keyword. */
static const char *
protocol(const struct edits_input *in)
{
	const struct flt_session *s = in->session;
	bool tls = s->tls_version.n != 0, auth = s->user.n != 0;
	if (in->mail->params.smtputf8)
		return tls    ? auth ? "UTF8SMTPSA" : "UTF8SMTPS"
		       : auth ? "UTF8SMTPA"
			      : "UTF8SMTP";
	if (!s->esmtp)
		return "SMTP";
	return tls ? auth ? "ESMTPSA" : "ESMTPS" : auth ? "ESMTPA" : "ESMTP";
}

/* `hide received`: whose mail it is and how it came is nobody's business outside. */
static bool
hides_received(const struct edits_input *in)
{
	return in->config->listener->hide_received && in->config->direction == OUTBOUND;
}

static void
add_received_hidden(const struct edits_input *in, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];
	struct slice when = clock_date(in->session->wall_ms, date);
	(void)buf_printf(out, "Received: by %.*s with %s id %s;\r\n\t%.*s\r\n",
		SLICE_ARG(in->config->conf->hostname), protocol(in), in->id, SLICE_ARG(when));
}

static void
add_received(const struct edits_input *in, struct facts *facts, struct buf *out)
{
	const struct flt_session *s = in->session;
	char date[CLOCK_DATE_BYTES], ip[IP_TEXT_BYTES];
	struct value name = {0};
	(void)buf_add_text(out, "Received: from ");
	add_clean(out, s->helo.n != 0 ? s->helo : SLICE("unknown"));
	(void)buf_add_text(out, " (");
	if (facts_read(facts, "client.name", SLICE_NONE, SIZE_MAX, COST_FREE, &name) ==
			FACT_KNOWN &&
		name.text.n != 0) {
		add_clean(out, name.text);
		(void)buf_add_byte(out, ' ');
	}
	struct slice ip_words = ip_text(&s->client, ip);
	if (s->client.family == 0) /* XFORWARD: a mail that is local in front of us */
		(void)buf_add_text(out, "unknown)\r\n");
	else
		(void)buf_printf(out,
			s->client.family == 6 ? "[IPv6:%.*s])\r\n" : "[%.*s])\r\n",
			SLICE_ARG(ip_words));
	if (s->tls_version.n != 0) {
		(void)buf_add_text(out, "\t(using ");
		add_clean(out, s->tls_version);
		(void)buf_add_text(out, " with cipher ");
		add_clean(out, s->tls_cipher);
		(void)buf_add_text(out, ")\r\n");
	}
	(void)buf_printf(out, "\tby %.*s with %s id %s", SLICE_ARG(in->config->conf->hostname),
		protocol(in), in->id);
	if (in->mail->n_recipients == 1) {
		struct slice rcpt = in->mail->recipients[0].address.text;
		(void)buf_add_text(out, "\r\n\tfor <");
		if (slice_has(rcpt, '"') ||
			rcpt.n > 200) /* a quoted local part is nobody's trace */
			rcpt = in->mail->recipients[0].address.domain;
		add_clean(out, rcpt);
		(void)buf_add_text(out, ">");
	}
	struct slice when = clock_date(s->wall_ms, date);
	(void)buf_printf(out, ";\r\n\t%.*s\r\n", SLICE_ARG(when));
}

/* Whether a rule writes this field. */
static bool
is_tagged(const struct verdict *v, struct slice name)
{
	for (size_t i = 0; i < v->n_effects; i++) {
		struct slice head, rest;
		slice_cut(v->effects[i]->text, ':', &head, &rest);
		if (v->effects[i]->action == ACTION_TAG &&
			slice_eq_nocase(slice_trim(head), name))
			return true;
	}
	return false;
}

/* RFC 6409 8.1, 8.2: submission adds what a client may leave out. */
static void
add_missing(const struct edits_input *in, struct buf *out)
{
	if (in->config->direction != OUTBOUND)
		return;
	char date[CLOCK_DATE_BYTES];
	if (message_field(in->mail->message, SLICE("Date"), 0) == NULL &&
		!is_tagged(in->verdict, SLICE("Date"))) {
		struct slice when = clock_date(in->session->wall_ms, date);
		(void)buf_printf(out, "Date: %.*s\r\n", SLICE_ARG(when));
	}
	if (message_field(in->mail->message, SLICE("Message-ID"), 0) == NULL &&
		!is_tagged(in->verdict, SLICE("Message-ID")))
		(void)buf_printf(out, "Message-ID: <%s.%lld@%.*s>\r\n", in->id,
			(long long)in->session->wall_ms, SLICE_ARG(in->config->conf->hostname));
}

/* Whether a field of the incoming mail must go: a rule's `remove header`, or the name of a tag.
 */
static bool
is_removed(const struct verdict *v, struct slice name)
{
	for (size_t i = 0; i < v->n_effects; i++) {
		const struct rule *r = v->effects[i];
		if (r->action == ACTION_REMOVE_HEADER && slice_eq_nocase(r->text, name))
			return true;
	}
	return is_tagged(v, name);
}

/* Not those of our own name: by them a loop is found, and what they tell is ours to tell. */
static bool
is_hidden(const struct edits_input *in, const struct message_field *f)
{
	return hides_received(in) && slice_eq_nocase(slice_trim(f->name), SLICE("Received")) &&
	       !message_received_by(f->value, in->config->conf->hostname);
}

static bool
is_forged(const size_t *places, size_t n, size_t i)
{
	for (size_t k = 0; k < n; k++)
		if (places[k] == i)
			return true;
	return false;
}

/* Whether a tag stands on what the spam filter says: then the mail carries why. */
static bool
tells_spam(const struct edits_input *in)
{
	const struct verdict *v = in->verdict;
	for (size_t i = 0; i < v->n_effects; i++)
		if (v->effects[i]->action == ACTION_TAG &&
			policy_rule_uses(in->config->policy, v->effects[i], "spam"))
			return true;
	return false;
}

/* False: it is open still, and was asked for. */
static bool
read_spam(const struct edits_input *in, struct facts *facts, struct arena *a,
	struct slice *field_out)
{
	struct value v;
	if (!tells_spam(in))
		return true;
	enum fact_state state = facts_read(facts, "spam", SLICE_NONE, SIZE_MAX, COST_CHEAP, &v);
	if (state == FACT_KNOWN)
		*field_out =
			spam_field(in->config->conf->hostname, flt_spam_judgement(facts), a);
	return state != FACT_OPEN;
}

/*
 * HDR-04: what claims to be our Authentication-Results or our evidence of spam goes, where we
 * write one of our own; so does what claims that we have observed something.
 */
static bool
is_false_witness(const struct edits_input *in, const struct message_field *f, struct arena *a)
{
	struct slice name = slice_trim(f->name);
	if (conf_observes(in->config->conf) && slice_eq_nocase(name, SLICE(MODES_FIELD)))
		return true;
	return slice_eq_nocase(name, SLICE(SPAM_FIELD)) &&
	       (in->config->direction == INBOUND || tells_spam(in)) &&
	       authres_is_ours(f->value, in->config->conf->hostname, a);
}

static void
make_cuts(const struct edits_input *in, struct arena *a, struct edits *e)
{
	const struct message *m = in->mail->message;
	size_t *forged = NULL, n_forged = 0;
	if (in->config->direction == INBOUND)
		n_forged = authres_forged(m, in->config->conf->hostname, a, &forged);
	e->cuts = arena_array(a, m->n_fields, sizeof(*e->cuts));
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct message_field *f = &m->fields[i];
		uint64_t at = (uint64_t)(f->raw.p - m->fields[0].raw.p);
		if (is_removed(in->verdict, f->name) || is_forged(forged, n_forged, i) ||
			is_hidden(in, f) || is_false_witness(in, f, a))
			e->cuts[e->n_cuts++] = (struct cut){.at = at, .bytes = f->raw.n};
	}
}

static void
add_tags(const struct verdict *v, struct buf *out)
{
	for (size_t i = 0; i < v->n_effects; i++)
		if (v->effects[i]->action == ACTION_TAG)
			(void)buf_printf(out, "%.*s\r\n", SLICE_ARG(v->effects[i]->text));
}

static void
note_signers(const struct edits_input *in, struct arena *a, struct edits *e)
{
	const struct verdict *v = in->verdict;
	e->sign = arena_array(a, v->n_effects, sizeof(*e->sign));
	for (size_t i = 0; i < v->n_effects; i++) {
		if (v->effects[i]->action != ACTION_SIGN)
			continue;
		struct slice domain = v->effects[i]->text;
		e->sign[e->n_sign++] = domain.n != 0 ? domain : in->mail->message->from_domain;
	}
}

/* Whether the next hop is told the client by name; Received has the name then too. */
static bool
tells_name(const struct edits_input *in)
{
	const struct hop_list *hops = &in->config->listener->filter;
	const struct conf_domain *d = in->mail->recipients[0].domain;
	if (hops->n == 0 && d == NULL)
		return false;
	enum hop_client by = hops->n != 0 ? hops->client : d->deliver.client;
	return by == HOP_CLIENT_XCLIENT || by == HOP_CLIENT_XFORWARD;
}

bool
edits_make(const struct edits_input *in, struct facts *facts, struct arena *a,
	struct edits *edits_out)
{
	struct slice results = SLICE_NONE, spam = SLICE_NONE;
	struct value name = {0};
	struct buf out;
	if (tells_name(in) && facts_read(facts, "client.name", SLICE_NONE, SIZE_MAX, COST_CHEAP,
				      &name) == FACT_OPEN)
		return false;
	if (in->config->direction == INBOUND &&
		!authres_of_mail(facts, in->config->policy, in->session, in->mail,
			in->config->conf->hostname, a, &results))
		return false;
	if (!read_spam(in, facts, a, &spam))
		return false;
	buf_init(&out, PREFIX_MOST);
	*edits_out = (struct edits){0};
	if (in->decisions != NULL)
		modes_fields(in->decisions, in->set, &out);
	add_tags(in->verdict, &out);
	(void)buf_add(&out, spam);
	(void)buf_add(&out, results);
	if (in->config->listener->kind != LISTEN_MILTER) { /* an MTA adds its own */
		if (hides_received(in))
			add_received_hidden(in, &out);
		else
			add_received(in, facts, &out);
		add_missing(in, &out);
	}
	make_cuts(in, a, edits_out);
	note_signers(in, a, edits_out);
	edits_out->prefix = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return true;
}

int
edits_carry_out(const struct edits *e, uint64_t from, struct relay_body *body)
{
	int result = 0;
	for (size_t i = e->n_cuts; i > 0 && e->cuts[i - 1].at >= from && result == 0; i--) {
		const struct cut *c = &e->cuts[i - 1];
		result = relay_body_cut(body, c->at, c->bytes) < 0
				 ? -1
				 : relay_body_insert(body, c->at, c->insert);
	}
	return result;
}

void
edits_log(const struct verdict *v, const struct log_context *log)
{
	struct log_line l;
	for (size_t i = 0; i < v->n_effects; i++) {
		if (v->effects[i]->action != ACTION_LOG)
			continue;
		log_begin(&l, EV_RULE_LOG, log);
		log_text(&l, "file", v->effects[i]->at.file);
		log_number(&l, "line", v->effects[i]->at.line);
		log_slice(&l, "text", v->effects[i]->text);
		log_end(&l);
	}
	for (size_t i = 0; i < v->n_tries; i++) {
		log_begin(&l, EV_TRY, log);
		log_text(&l, "action", action_text(v->tries[i]->action));
		log_text(&l, "file", v->tries[i]->at.file);
		log_number(&l, "line", v->tries[i]->at.line);
		log_end(&l);
	}
}
