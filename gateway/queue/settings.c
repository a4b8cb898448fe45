/*
 * The keeper's settings from a configuration, into a file in memory and out of it; see
 * settings.h.
 */
#include "queue/settings.h"

#include <string.h>
#include <unistd.h>

#include "io/ipc.h"
#include "io/memfile.h"

enum { SETTINGS_ITEMS_MOST = 1000 * 1000, SETTINGS_VERSION = 3 };

void
queue_settings_of(const struct conf *conf, const enum dkim_algorithm *algorithms,
	struct slice rules, unsigned deliveries, struct arena *a, struct queue_settings *s_out)
{
	struct queue_settings *s = s_out;
	*s = (struct queue_settings){.hostname = conf->hostname,
		.way = conf->send.way,
		.after = conf->send.after,
		.after_failures = (uint32_t)conf->send.after_failures,
		.queue = conf->queue,
		.domains = arena_array(a, conf->n_domains, sizeof(*s->domains)),
		.delivers = arena_array(a, conf->n_domains, sizeof(*s->delivers)),
		.n_domains = conf->n_domains,
		.tagging = arena_array(a, conf->n_domains, sizeof(*s->tagging)),
		.sites = arena_array(a, conf->n_destinations, sizeof(*s->sites)),
		.n_sites = conf->n_destinations,
		.keys = arena_array(a, conf->n_signs, sizeof(*s->keys)),
		.n_keys = conf->n_signs,
		.deliveries = deliveries};
	s->queue.failure_rules = rules;
	const struct conf_filter *spam = conf_filter_find(conf, "spam");
	s->n_models = spam != NULL ? spam->n_models : 0;
	s->models = arena_array(a, s->n_models, sizeof(*s->models));
	for (size_t i = 0; i < s->n_models; i++)
		s->models[i] = spam->models[i].domain;
	for (size_t i = 0; i < conf->n_domains; i++) {
		s->domains[i] = conf->domains[i].name;
		s->delivers[i] = conf->domains[i].deliver.n != 0;
		if (conf->domains[i].n_tag_keys != 0)
			s->tagging[s->n_tagging++] = conf->domains[i].name;
	}
	for (size_t i = 0; i < conf->n_destinations; i++)
		s->sites[i] = (struct queue_site){.site = conf->destinations[i].site,
			.connections = (uint32_t)conf->destinations[i].connections,
			.rate = conf->destinations[i].rate,
			.rate_ms = conf->destinations[i].rate_ms};
	for (size_t i = 0; i < conf->n_signs; i++)
		s->keys[i] = (struct queue_key){.domain = conf->signs[i].domain,
			.selector = conf->signs[i].selector,
			.algorithm = algorithms[i]};
}

static void
put(const struct queue_settings *s, struct ipc_out *o)
{
	ipc_put_u32(o, SETTINGS_VERSION);
	ipc_put_slice(o, s->hostname);
	ipc_put_u8(o, (uint8_t)s->way);
	ipc_put_u32(o, s->after);
	ipc_put_u32(o, s->after_failures);
	ipc_put_u64(o, s->queue.retry_ms);
	ipc_put_u64(o, s->queue.retry_most_ms);
	ipc_put_u64(o, s->queue.lifetime_ms);
	ipc_put_u64(o, s->queue.delay_notice_ms);
	ipc_put_u64(o, s->queue.attempts);
	ipc_put_u64(o, s->queue.quarantine_ms);
	ipc_put_u64(o, s->queue.quarantine_bytes);
	ipc_put_slice(o, s->queue.failure_rules);
	ipc_put_u32(o, s->deliveries);
	ipc_put_u32(o, (uint32_t)s->n_domains);
	ipc_put_bool(o, s->virus);
	for (size_t i = 0; i < s->n_domains; i++) {
		ipc_put_slice(o, s->domains[i]);
		ipc_put_bool(o, s->delivers != NULL && s->delivers[i]);
	}
	ipc_put_u32(o, (uint32_t)s->n_tagging);
	for (size_t i = 0; i < s->n_tagging; i++)
		ipc_put_slice(o, s->tagging[i]);
	ipc_put_u32(o, (uint32_t)s->n_sites);
	for (size_t i = 0; i < s->n_sites; i++) {
		ipc_put_slice(o, s->sites[i].site);
		ipc_put_u32(o, s->sites[i].connections);
		ipc_put_u64(o, s->sites[i].rate);
		ipc_put_u64(o, s->sites[i].rate_ms);
	}
	ipc_put_u32(o, (uint32_t)s->n_keys);
	for (size_t i = 0; i < s->n_keys; i++) {
		ipc_put_slice(o, s->keys[i].domain);
		ipc_put_slice(o, s->keys[i].selector);
		ipc_put_u8(o, (uint8_t)s->keys[i].algorithm);
	}
	ipc_put_u32(o, (uint32_t)s->n_models);
	for (size_t i = 0; i < s->n_models; i++)
		ipc_put_slice(o, s->models[i]);
}

static void
get(struct ipc_in *in, struct arena *a, struct queue_settings *s)
{
	s->hostname = ipc_get_slice(in);
	s->way = (enum send_way)ipc_get_enum(in, SEND_DIRECT_THEN_SMARTHOST + 1);
	s->after = ipc_get_u32(in);
	s->after_failures = ipc_get_u32(in);
	s->queue.retry_ms = ipc_get_u64(in);
	s->queue.retry_most_ms = ipc_get_u64(in);
	s->queue.lifetime_ms = ipc_get_u64(in);
	s->queue.delay_notice_ms = ipc_get_u64(in);
	s->queue.attempts = ipc_get_u64(in);
	s->queue.quarantine_ms = ipc_get_u64(in);
	s->queue.quarantine_bytes = ipc_get_u64(in);
	s->queue.failure_rules = ipc_get_slice(in);
	s->deliveries = ipc_get_u32(in);
	s->n_domains = ipc_get_count(in, SETTINGS_ITEMS_MOST, 5);
	s->virus = ipc_get_bool(in);
	s->domains = arena_array(a, s->n_domains, sizeof(*s->domains));
	s->delivers = arena_array(a, s->n_domains, sizeof(*s->delivers));
	for (size_t i = 0; i < s->n_domains; i++) {
		s->domains[i] = ipc_get_slice(in);
		s->delivers[i] = ipc_get_bool(in);
	}
	s->n_tagging = ipc_get_count(in, SETTINGS_ITEMS_MOST, 4);
	s->tagging = arena_array(a, s->n_tagging, sizeof(*s->tagging));
	for (size_t i = 0; i < s->n_tagging; i++)
		s->tagging[i] = ipc_get_slice(in);
	s->n_sites = ipc_get_count(in, SETTINGS_ITEMS_MOST, 24);
	s->sites = arena_array(a, s->n_sites, sizeof(*s->sites));
	for (size_t i = 0; i < s->n_sites; i++) {
		s->sites[i].site = ipc_get_slice(in);
		s->sites[i].connections = ipc_get_u32(in);
		s->sites[i].rate = ipc_get_u64(in);
		s->sites[i].rate_ms = ipc_get_u64(in);
	}
	s->n_keys = ipc_get_count(in, SETTINGS_ITEMS_MOST, 9);
	s->keys = arena_array(a, s->n_keys, sizeof(*s->keys));
	for (size_t i = 0; i < s->n_keys; i++) {
		s->keys[i].domain = ipc_get_slice(in);
		s->keys[i].selector = ipc_get_slice(in);
		s->keys[i].algorithm =
			(enum dkim_algorithm)ipc_get_enum(in, DKIM_ED25519_SHA256 + 1);
	}
	s->n_models = ipc_get_count(in, SETTINGS_ITEMS_MOST, 4);
	s->models = arena_array(a, s->n_models, sizeof(*s->models));
	for (size_t i = 0; i < s->n_models; i++)
		s->models[i] = ipc_get_slice(in);
}

int
queue_settings_send(const struct queue_settings *s, struct err *err)
{
	struct ipc_out out;
	struct slice bytes;
	ipc_out_init_most(&out, QUEUE_SETTINGS_MOST);
	put(s, &out);
	int fd = ipc_out_ok(&out, &bytes)
			 ? memfile_new("the keeper's settings", bytes, err)
			 : err_set(err, "the keeper's settings are more than %d bytes",
				   QUEUE_SETTINGS_MOST);
	ipc_out_fini(&out);
	return fd;
}

int
queue_settings_receive(int fd, struct arena *a, struct queue_settings *s_out, struct err *err)
{
	struct ipc_in in;
	struct slice bytes;
	*s_out = (struct queue_settings){0};
	bool read = memfile_read(fd, QUEUE_SETTINGS_MOST, a, &bytes);
	close(fd);
	if (!read)
		return err_set(err, "the keeper's settings cannot be read");
	ipc_in_init(&in, bytes);
	if (ipc_get_u32(&in) != SETTINGS_VERSION)
		return err_set(err, "the keeper's settings are of another version");
	get(&in, a, s_out);
	return ipc_in_done(&in) ? 0 : err_set(err, "the keeper's settings are damaged");
}
