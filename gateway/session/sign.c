/*
 * Which keys sign a mail, and what they sign; see sign.h. After all other edits, since what is
 * changed behind a signature breaks it (RFC 6376 5.3).
 */
#include "session/sign.h"

bool
sign_is_used(const struct policy *p)
{
	for (size_t i = 0; i < policy_rules(p); i++)
		if (policy_rule(p, i)->action == ACTION_SIGN)
			return true;
	return false;
}

static bool
is_cut(const struct edits *e, const struct message *m, size_t i)
{
	uint64_t at = (uint64_t)(m->fields[i].raw.p - m->fields[0].raw.p);
	for (size_t k = 0; k < e->n_cuts; k++)
		if (at >= e->cuts[k].at && at - e->cuts[k].at < e->cuts[k].bytes)
			return true;
	return false;
}

/* The fields that stand in place of others. */
static struct slice
inserted_fields(const struct edits *e, struct arena *a)
{
	struct slice fields = SLICE_NONE;
	for (size_t k = 0; k < e->n_cuts && e->cuts[k].at < e->body_at; k++)
		fields = arena_printf(
			a, "%.*s%.*s", SLICE_ARG(fields), SLICE_ARG(e->cuts[k].insert));
	return fields;
}

/* The header as it will be sent: our lines, then what is left of what came. */
static size_t
sent_fields(const struct flt_mail *mail, const struct edits *e, struct slice hostname,
	struct arena *a, struct message_field **fields_out)
{
	struct message ours;
	struct slice inserted = inserted_fields(e, a);
	struct slice block =
		arena_printf(a, "%.*s%.*s\r\n", SLICE_ARG(e->prefix), SLICE_ARG(inserted));
	message_parse(block, hostname, mail->params.smtputf8, a, &ours);
	struct message_field *fields =
		arena_array(a, ours.n_fields + mail->message->n_fields, sizeof(*fields));
	size_t n = 0;
	for (size_t i = 0; i < ours.n_fields; i++)
		fields[n++] = ours.fields[i];
	for (size_t i = 0; i < mail->message->n_fields; i++)
		if (!is_cut(e, mail->message, i))
			fields[n++] = mail->message->fields[i];
	*fields_out = fields;
	return n;
}

static bool
is_asked(const struct sign_request *requests, size_t n, size_t key)
{
	for (size_t i = 0; i < n; i++)
		if (requests[i].key == key)
			return true;
	return false;
}

static void
log_no_key(struct slice domain, const struct log_context *log)
{
	struct log_line l;
	log_begin(&l, EV_WARNING, log);
	log_text(&l, "text", "a rule signs, but there is no key for the domain");
	log_slice(&l, "domain", domain);
	log_end(&l);
}

size_t
sign_make(struct dkim_sign *s, const struct gate_config *config, const struct flt_mail *mail,
	const struct edits *e, int64_t wall_ms, struct arena *a, const struct log_context *log,
	struct sign_request **requests_out)
{
	const struct conf *c = config->conf;
	struct sign_request *requests = arena_array(a, SIGN_MOST, sizeof(*requests));
	struct message_field *fields;
	size_t n = 0, n_fields = sent_fields(mail, e, c->hostname, a, &fields);
	for (size_t d = 0; d < e->n_sign; d++) {
		bool found = false;
		for (size_t k = 0; k < c->n_signs && n < SIGN_MOST; k++) {
			if (!slice_eq(c->signs[k].domain, e->sign[d]))
				continue;
			found = true;
			if (is_asked(requests, n, k))
				continue;
			struct sign_request *r = &requests[n++];
			r->key = k;
			r->dkim = (struct dkim_sign_request){.domain = c->signs[k].domain,
				.selector = c->signs[k].selector,
				.algorithm = config->keys[k].algorithm};
			dkim_sign_digest(s, fields, n_fields, wall_ms / 1000, &r->dkim);
		}
		if (!found)
			log_no_key(e->sign[d], log);
	}
	*requests_out = requests;
	return n;
}
