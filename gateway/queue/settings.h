/*
 * What the keeper knows of the configuration. It outlives reloads (one process has the spool),
 * so that it has no `struct conf` of one generation but this: made by the parent from each new
 * configuration, sent over in a memfd, taken up between two events.
 */
#ifndef QUEUE_SETTINGS_H
#define QUEUE_SETTINGS_H

#include "base/arena.h"
#include "conf/conf.h"
#include "filters/dkim.h"

enum { QUEUE_SETTINGS_MOST = 16 * 1024 * 1024 };

struct queue_site { /* destination "site" { ... } */
	struct slice site;
	uint32_t connections;
	uint64_t rate, rate_ms;
};

struct queue_key { /* by the order of `sign`: the number that the signer knows */
	struct slice domain, selector;
	enum dkim_algorithm algorithm;
};

struct queue_settings {
	struct slice hostname;
	enum send_way way;
	unsigned after; /* SEND_AFTER_... */
	uint32_t after_failures;
	struct conf_queue queue; /* failure_rules: the text of the file, not its path */
	struct slice *domains;   /* declared */
	bool *delivers;          /* by domain: `deliver to` says where its mail goes */
	size_t n_domains;
	struct slice *tagging; /* of them, those that tag their senders (filters/batv.h) */
	size_t n_tagging;
	struct queue_site *sites;
	size_t n_sites;
	struct queue_key *keys;
	size_t n_keys;
	struct slice *models; /* domains with a model of the spam filter of their own */
	size_t n_models;
	unsigned deliveries; /* processes of this generation */
	bool virus;          /* rules look for viruses: a scanner has signatures */
};

/* Borrows from conf. algorithms: by the order of conf->signs. rules: text of the file of
 * `failure rules`, or empty. */
void queue_settings_of(const struct conf *conf, const enum dkim_algorithm *algorithms,
	struct slice rules, unsigned deliveries, struct arena *a, struct queue_settings *s_out);
/* A memfd, sealed: the caller's. -1 and err. */
int queue_settings_send(const struct queue_settings *s, struct err *err);
/* Reads it and closes fd; everything in the arena. -1 and err. */
int
queue_settings_receive(int fd, struct arena *a, struct queue_settings *s_out, struct err *err);

#endif
