/*
 * What `postern doctor` looks at on this machine: the clock, the room in the spool, and each
 * listener's certificate. See doctor_priv.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "base/clock.h"
#include "io/tls.h"
#include "main/doctor_priv.h"
#include "queue/hand_words.h"

enum { DAY_S = 86400, CERTIFICATE_DAYS = 14 };
static const uint64_t spool_least = UINT64_C(1) << 30; /* 1 GiB */

/* ---- the clock ---- */

/* 2026-11-01: this program is younger than that, so it is later now. */
static const int64_t not_before_ms = INT64_C(1793491200000);

void
doctor_clock(struct doctor *d)
{
	struct timex t = {0};
	char text[HAND_TIME_BYTES];
	int64_t now = clock_wall_ms();
	struct slice at = slice_of(hand_time(now > 0 ? (uint64_t)now : 0, text));
	if (now < not_before_ms) {
		doctor_say(d, DOCTOR_FAIL, "clock", SLICE_NONE,
			arena_printf(
				d->arena, "it says %.*s, which is long past", SLICE_ARG(at)),
			"set it, and run an NTP client: signatures, certificates and retries "
			"hang "
			"on it");
		return;
	}
	int state = adjtimex(&t);
	if (state < 0)
		doctor_say(d, DOCTOR_WARN, "clock", SLICE_NONE,
			arena_printf(d->arena,
				"%.*s; the kernel does not tell whether it is "
				"synchronised",
				SLICE_ARG(at)),
			"see that the machine's host runs an NTP client");
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
		doctor_say(d, DOCTOR_WARN, "clock", SLICE_NONE,
			arena_printf(d->arena, "%.*s; it is not synchronised", SLICE_ARG(at)),
			"run an NTP client (chrony, systemd-timesyncd)");
	else
		doctor_say(d, DOCTOR_OK, "clock", SLICE_NONE,
			arena_printf(d->arena, "%.*s; synchronised", SLICE_ARG(at)), NULL);
}

/* ---- the spool ---- */

static struct slice
room_text(struct doctor *d, const struct statvfs *v)
{
	uint64_t free_bytes = (uint64_t)v->f_bavail * v->f_frsize;
	uint64_t all = (uint64_t)v->f_blocks * v->f_frsize;
	uint64_t percent = all != 0 ? (uint64_t)((double)free_bytes * 100 / (double)all) : 0;
	return arena_printf(d->arena,
		"%" PRIu64 " MiB free, %" PRIu64 " %%; %" PRIu64 " inodes free",
		free_bytes >> 20, percent, (uint64_t)v->f_favail);
}

void
doctor_spool(struct doctor *d)
{
	struct slice path = d->conf->spool;
	struct statvfs v;
	struct err err;
	if (path.n == 0)
		return;
	if (statvfs(arena_text(d->arena, path), &v) < 0) {
		err_sys(&err, "look at it");
		doctor_say(d, err.code == EACCES ? DOCTOR_WARN : DOCTOR_FAIL, "spool", path,
			slice_of(err.text),
			err.code == ENOENT ? "posternd makes it when it starts"
					   : "run this as root");
		return;
	}
	uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
	uint64_t all = (uint64_t)v.f_blocks * v.f_frsize;
	struct slice found = room_text(d, &v);
	/* Some file systems count no inodes. */
	if (room < spool_least / 16 || (v.f_files != 0 && v.f_favail == 0))
		doctor_say(d, DOCTOR_FAIL, "spool", path, found,
			"make room: mails are refused with 452");
	else if (room < spool_least || room < all / 20)
		doctor_say(d, DOCTOR_WARN, "spool", path, found, "make room before it is full");
	else
		doctor_say(d, DOCTOR_OK, "spool", path, found, NULL);
}

/* ---- certificates ---- */

static void
say_certificate(struct doctor *d, struct slice subject, const struct tls_looks *l, bool named)
{
	char until[HAND_TIME_BYTES];
	int64_t now = clock_wall_ms() / 1000;
	hand_time(l->until_s > 0 ? (uint64_t)l->until_s * 1000 : 0, until);
	if (l->until_s < now)
		doctor_say(d, DOCTOR_FAIL, "certificate", subject,
			arena_printf(d->arena, "expired: %s", until),
			"renew it; the gateway takes up the new file by itself");
	else if (l->from_s > now)
		doctor_say(d, DOCTOR_FAIL, "certificate", subject, SLICE("it is not valid yet"),
			"look at the clock, and at the file");
	else if (l->until_s - now < (int64_t)CERTIFICATE_DAYS * DAY_S)
		doctor_say(d, DOCTOR_WARN, "certificate", subject,
			arena_printf(d->arena, "ends soon: %s", until),
			"see why it was not renewed");
	else if (!named)
		doctor_say(d, DOCTOR_WARN, "certificate", subject,
			arena_printf(d->arena, "is for %s, not for %.*s", l->name,
				SLICE_ARG(d->conf->hostname)),
			"get one that bears the `hostname`");
	else if (!l->trusted)
		doctor_say(d, DOCTOR_WARN, "certificate", subject,
			arena_printf(d->arena, "until %s; not trusted by this system: %s",
				until, l->problem),
			"put the intermediate certificates behind it in the file, or get one "
			"of "
			"a public authority: senders with MTA-STS refuse it");
	else
		doctor_say(d, DOCTOR_OK, "certificate", subject,
			arena_printf(d->arena, "for %s, until %s", l->name, until), NULL);
}

/* One of a listener's certificates must bear our name; the others are for other names. */
static void
check_listener(struct doctor *d, const struct conf_listener *l,
	const struct session_certificate *certificates)
{
	struct err err;
	bool named = false;
	char *host = arena_text(d->arena, d->conf->hostname);
	struct tls_looks *looks = arena_array(d->arena, l->n_certificates + 1, sizeof(*looks));
	for (size_t i = 0; i < l->n_certificates; i++)
		if (tls_look(certificates[i].cert_pem, host, &looks[i], &err) == 0)
			named = named || looks[i].named;
	for (size_t i = 0; i < l->n_certificates; i++) {
		struct slice subject = arena_printf(
			d->arena, "%.*s %s", SLICE_ARG(l->text), certificates[i].cert_path);
		if (looks[i].until_s == 0)
			doctor_say(d, DOCTOR_FAIL, "certificate", subject,
				SLICE("it cannot be read"), "look at the file");
		else
			say_certificate(d, subject, &looks[i], named);
	}
}

void
doctor_certificates(struct doctor *d)
{
	size_t at = 0;
	for (size_t i = 0; i < d->conf->n_listeners; i++) {
		const struct conf_listener *l = &d->conf->listeners[i];
		check_listener(d, l, d->generation->certificates + at);
		at += l->n_certificates;
		if (l->kind == LISTEN_INBOUND && l->n_certificates == 0)
			doctor_say(d, DOCTOR_WARN, "certificate", l->text,
				SLICE("no TLS: mail comes in clear"),
				"say `tls optional` with a certificate");
	}
}
