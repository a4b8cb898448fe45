/*
 * The peer of the milter burst: a plain filter with libmilter whose callback for the recipient
 * waits as long as a name server would, since a callback cannot do otherwise, and which adds an
 * Authentication-Results at the end of the mail.
 *
 *	bench_libmilter SOCKET MILLISECONDS
 */
#include <err.h>
#include <libmilter/mfapi.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static struct timespec wait_for;

static sfsistat
on_rcpt(SMFICTX *context, char **args)
{
	(void)context;
	(void)args;
	nanosleep(&wait_for, NULL);
	return SMFIS_CONTINUE;
}

static sfsistat
on_end(SMFICTX *context)
{
	static char name[] = "Authentication-Results", value[] = "mx.example.com; spf=pass";
	return smfi_insheader(context, 0, name, value) == MI_SUCCESS ? SMFIS_CONTINUE
								     : SMFIS_TEMPFAIL;
}

int
main(int argc, char **argv)
{
	static char name[] = "bench";
	struct smfiDesc filter = {.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_eom = on_end};
	if (argc != 3)
		errx(64, "usage: bench_libmilter SOCKET MILLISECONDS");
	long ms = strtol(argv[2], NULL, 10);
	wait_for = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	/* 300 connections at once: more than the library's own length of the queue. */
	if (smfi_register(filter) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS ||
		smfi_setbacklog(1024) != MI_SUCCESS)
		errx(1, "libmilter");
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}
