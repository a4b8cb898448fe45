/*
 * Tags on and off; see bounces.h. Facts, rights and the log see plain addresses alone: tagged
 * is what next hops and the spool have.
 */
#include "session/bounces.h"

struct address
bounces_sender(const struct gate_config *config, const struct address *sender, int64_t wall_ms,
	struct arena *a, const struct log_context *log)
{
	const struct conf_domain *d = conf_domain_find(config->conf, sender->domain);
	struct address plain = *sender, tagged;
	if (config->direction != OUTBOUND || sender->is_null || d == NULL || d->n_tag_keys == 0)
		return *sender;
	(void)batv_check(d, sender, wall_ms, a, &plain); /* one of another day begins anew */
	struct slice tag = batv_tag(&d->tag_keys[0], &plain, wall_ms, a);
	struct slice local =
		arena_printf(a, "%.*s%.*s", SLICE_ARG(tag), SLICE_ARG(plain.local));
	if (address_make(local, plain.domain, a, &tagged) == ADDRESS_OK)
		return tagged;
	struct log_line l;
	log_begin(&l, EV_UNTAGGED, log);
	log_slice(&l, "sender", sender->text);
	log_end(&l);
	return *sender;
}

bool
bounces_untag(const struct conf *conf, int64_t wall_ms, struct arena *a, struct address *rcpt)
{
	const struct conf_domain *d = conf_domain_find(conf, rcpt->domain);
	struct address plain;
	enum batv worth = d != NULL && d->n_tag_keys != 0
				  ? batv_check(d, rcpt, wall_ms, a, &plain)
				  : BATV_NONE;
	if (worth != BATV_NONE)
		*rcpt = plain;
	return worth == BATV_OK;
}
