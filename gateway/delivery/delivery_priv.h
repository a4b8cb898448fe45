/* What the files of the delivery process share: delivery.c (the process), job.c (one mail),
 * question.c (one recipient), route.c. */
#ifndef DELIVERY_PRIV_H
#define DELIVERY_PRIV_H

#include <sys/queue.h>

#include "delivery/delivery.h"
#include "delivery/messages.h"
#include "io/control.h"

enum { DELIVERY_CONNECTIONS = 20 /* to one site, where nothing is said of it */ };

/* Where a mail goes; the hops live in it, in the configuration or in the mail's arena. */
struct delivery_route {
	struct next_hop hop;
	struct hop_list list;
	struct relay_way way;
	const struct relay_times *times;
};

struct delivery_job;
TAILQ_HEAD(delivery_jobs, delivery_job);
struct delivery_question;
TAILQ_HEAD(delivery_questions, delivery_question);

struct delivery {
	const struct conf *conf;
	struct loop *loop;
	struct dns *dns;
	struct tls_client *tls;
	struct ip_net *own;
	size_t n_own;
	struct relay_pool *pool;
	struct failure_rules *rules; /* of refusals at RCPT */
	struct service *service;
	struct delivery_jobs jobs;
	size_t n_jobs;
	struct delivery_questions questions;
	size_t n_questions;
	bool stopping; /* the loop ends with the last job */
};

/*
 * The way of a mail. One that is gone from the configuration is told in the log, and the mail
 * goes as `send` says. False: nothing that mail can be sent to, *reply_out says so. The route
 * borrows from the mail and must not move; a is the mail's arena.
 */
bool delivery_route(const struct conf *conf, const struct delivery_mail *m, struct arena *a,
	const struct log_context *log, struct delivery_route *route_out,
	struct smtp_reply *reply_out);
/* To the outside, as `send` says first. */
bool delivery_route_send(const struct conf *conf, struct slice site,
	struct delivery_route *route_out, struct smtp_reply *reply_out);
/* Networks that an MX of others must not lead to; n_out of them, on the heap. */
struct ip_net *delivery_own_networks(const struct conf *conf, size_t *n_out);

void delivery_job_start(struct delivery *d, struct service_client *client, struct ipc_msg *m);
/* No final dot any more; the result is sent now, or when the one that is out is answered. */
void delivery_job_cancel(struct delivery *d, struct service_client *client, uint32_t id);
void delivery_jobs_orphan(struct delivery *d, struct service_client *client);
void delivery_jobs_stop(struct delivery *d);

/* `answer at rcpt`. Answered once, unless its client is gone or the process stops. */
void
delivery_question_start(struct delivery *d, struct service_client *client, struct ipc_msg *m);
void delivery_question_cancel(struct delivery *d, struct service_client *client, uint32_t id);
void delivery_questions_orphan(struct delivery *d, struct service_client *client);
void delivery_questions_stop(struct delivery *d);

#endif
