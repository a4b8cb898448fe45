/*
 * Tags on and off; see bounces.h. Facts, rights and the log see plain addresses alone: tagged
 * is what next hops and the spool have.
 */
#include "session/bounces.h"

/* A bounce has two days at least after the last try; five of the queue's are in a tag's seven.
 */
static uint64_t
queued_ms(const struct conf *c)
{
	const uint64_t usual = (BATV_DAYS - 2) * (uint64_t)86400000;
	return c->spool.n != 0 && c->queue.lifetime_ms > usual ? c->queue.lifetime_ms - usual
							       : 0;
}

struct address
bounces_sender(const struct gate_config *config, const struct address *sender, int64_t wall_ms,
	uint64_t kept_ms, struct arena *a, const struct log_context *log)
{
	const struct conf_domain *d = conf_domain_find(config->conf, sender->domain);
	struct address plain = *sender, tagged;
	if (config->direction != OUTBOUND || sender->is_null || d == NULL || d->n_tag_keys == 0)
		return *sender;
	(void)batv_check(d, sender, wall_ms, a, &plain); /* one of another day begins anew */
	struct slice tag = batv_tag(
		&d->tag_keys[0], &plain, wall_ms, kept_ms + queued_ms(config->conf), a);
	struct slice local =
		arena_printf(a, "%.*s%.*s", SLICE_ARG(tag), SLICE_ARG(plain.local));
	if (address_make(local, plain.domain, a, &tagged) == ADDRESS_OK)
		return tagged;
	if (log == NULL)
		return *sender;
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
