/*
 * The delivery process: opens what it needs (resolver, roots of trust, pool), locks itself in,
 * and hands the messages of the sessions to job.c; see delivery.h.
 */
#include "delivery/delivery.h"

#include "base/log.h"
#include "base/mem.h"
#include "delivery/delivery_priv.h"
#include "io/sandbox.h"

static void
on_message(void *arg, struct service_client *from, struct ipc_msg *m)
{
	struct delivery *d = arg;
	struct err err;
	switch (m->type) {
	case DELIVERY_MSG_MAIL: delivery_job_start(d, from, m); break;
	case DELIVERY_MSG_RCPT: delivery_question_start(d, from, m); break;
	case DELIVERY_MSG_CANCEL:
		delivery_job_cancel(d, from, m->id);
		delivery_question_cancel(d, from, m->id);
		break;
	default:
		err_set(&err, "a client sent a message of unknown type %u", (unsigned)m->type);
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	}
}

static void
on_gone(void *arg, struct service_client *client)
{
	delivery_jobs_orphan(arg, client);
	delivery_questions_orphan(arg, client);
}

static int
open_dns(struct delivery *d, struct err *err)
{
	const struct conf_resolver *r = &d->conf->resolver;
	struct dns_config c = {.insecure = r->insecure};
	char *trust = NULL;
	if (r->trust.n > 0) {
		trust = mem_new(r->trust.n + 1);
		for (size_t i = 0; i < r->trust.n; i++)
			trust[i] = r->trust.p[i];
		c.trust_file = trust;
	}
	for (size_t i = 0; i < r->n_servers && i < DNS_SERVERS_MOST; i++)
		c.servers[c.n++] = (struct dns_server){r->servers[i].ip, r->servers[i].port};
	d->dns = dns_open(d->loop, &c, err);
	mem_free(trust);
	return d->dns != NULL ? 0 : -1;
}

static int
enter_sandbox(struct err *err)
{
	struct sandbox_spec spec;
	sandbox_spec_of(SANDBOX_DELIVERY, &spec);
	return sandbox_lock(&spec, err);
}

static int
delivery_open(struct delivery *d, const struct delivery_start *start, struct err *err)
{
	d->conf = start->conf;
	TAILQ_INIT(&d->jobs);
	TAILQ_INIT(&d->questions);
	d->loop = loop_new(err);
	if (d->loop == NULL || open_dns(d, err) < 0)
		return -1;
	d->tls = tls_client_new(SLICE_NONE, err);
	if (d->tls == NULL)
		return -1;
	d->rules = failure_rules_new(err);
	if (d->rules == NULL || (start->failure_rules.n != 0 &&
					failure_rules_add_text(d->rules, start->failure_rules,
						"failure rules", err) < 0))
		return -1;
	d->own = delivery_own_networks(d->conf, &d->n_own);
	d->pool = relay_pool_new(&(struct relay_config){.loop = d->loop,
		.dns = d->dns,
		.hostname = d->conf->hostname,
		.tls = d->tls,
		.own = d->own,
		.n_own = d->n_own});
	d->service = service_new(d->loop, start->control_fd, on_message, on_gone, d);
	return enter_sandbox(err);
}

/* Told to stop, or the parent is gone: what is not final is given back, what is final is waited
 * for. */
static int
delivery_run(struct delivery *d, struct err *err)
{
	service_ready(d->service);
	int result = loop_run(d->loop, err);
	if (result == 0)
		delivery_jobs_stop(d);
	delivery_questions_stop(d);
	while (result == 0 && d->n_jobs > 0)
		result = loop_run(d->loop, err);
	return result;
}

static void
delivery_close(struct delivery *d)
{
	service_free(&d->service);
	relay_pool_free(&d->pool);
	tls_client_free(&d->tls);
	dns_close(&d->dns);
	failure_rules_free(&d->rules);
	mem_free(d->own);
	loop_free(&d->loop);
}

int
delivery_main(void *arg)
{
	struct delivery d = {0};
	struct err err;
	int result = delivery_open(&d, arg, &err);
	if (result == 0)
		result = delivery_run(&d, &err);
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	delivery_close(&d);
	return result < 0 ? 1 : 0;
}
