/*
 * libopendkim behind lines of text; see dkim_lines.h. A word of `verify` is "pass:", "partial:"
 * (what l= leaves out is unsigned) or "fail:why"; a mail that the library refuses as a whole,
 * "mail:why".
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <opendkim/dkim.h>

#include "dkim_lines.h"

static struct lines l;

static DKIM_CBSTAT
lookup(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t room)
{
	char name[600];
	(void)dkim;
	int n = snprintf(name, sizeof(name), "%s._domainkey.%s", dkim_sig_getselector(sig),
		dkim_sig_getdomain(sig));
	const char *text = lines_zone(&l, name, (size_t)n);
	if (text == NULL)
		return DKIM_CBSTAT_NOTFOUND;
	snprintf((char *)buf, room, "%s", text);
	return DKIM_CBSTAT_CONTINUE;
}

static void
print_word(const char *kind, const char *why)
{
	printf("%s:", kind);
	for (; *why != '\0'; why++)
		putchar(*why == ' ' ? '_' : *why);
}

static void
print_signature(DKIM_SIGINFO *sig)
{
	if ((dkim_sig_getflags(sig) & DKIM_SIGFLAG_PASSED) != 0 &&
		dkim_sig_getbh(sig) == DKIM_SIGBH_MATCH) {
		print_word("pass", "");
		return;
	}
	int error = dkim_sig_geterror(sig);
	const char *text = dkim_sig_geterrorstr(error);
	if (error == DKIM_SIGERROR_OK && dkim_sig_getbh(sig) == DKIM_SIGBH_MISMATCH)
		text = "body hash";
	print_word("fail", text != NULL ? text : "unknown");
}

static void
verify(DKIM_LIB *lib)
{
	DKIM_STAT status;
	bool test_key = false;
	DKIM_SIGINFO **sigs = NULL;
	int n = 0;
	DKIM *dkim = dkim_verify(lib, (const u_char *)"id", NULL, &status);
	if (dkim == NULL)
		errx(1, "dkim_verify: %s", dkim_getresultstr(status));
	status = dkim_chunk(dkim, (u_char *)l.bytes, l.bytes_n);
	if (status == DKIM_STAT_OK)
		status = dkim_chunk(dkim, NULL, 0);
	if (status == DKIM_STAT_OK)
		status = dkim_eom(dkim, &test_key);
	if (status == DKIM_STAT_SYNTAX || dkim_getsiglist(dkim, &sigs, &n) != DKIM_STAT_OK)
		print_word("mail", dkim_getresultstr(status));
	for (int i = 0; status != DKIM_STAT_SYNTAX && i < n; i++) {
		if (i > 0)
			putchar(' ');
		print_signature(sigs[i]);
	}
	putchar('\n');
	dkim_free(dkim);
}

static dkim_alg_t
algorithm(const char *word)
{
	if (strcmp(word, "ed25519-sha256") == 0)
		return DKIM_SIGN_ED25519SHA256;
	return strcmp(word, "rsa-sha1") == 0 ? DKIM_SIGN_RSASHA1 : DKIM_SIGN_RSASHA256;
}

static dkim_canon_t
canon(const char *word)
{
	return strcmp(word, "relaxed") == 0 ? DKIM_CANON_RELAXED : DKIM_CANON_SIMPLE;
}

static void
sign(DKIM_LIB *lib, const char *key)
{
	DKIM_STAT status;
	u_char *field = NULL;
	size_t n = 0;
	ssize_t length = strtol(l.word[4], NULL, 10);
	DKIM *dkim =
		dkim_sign(lib, (const u_char *)"id", NULL, (const dkim_sigkey_t)(size_t)key,
			(const u_char *)l.word[6], (const u_char *)l.word[5], canon(l.word[2]),
			canon(l.word[3]), algorithm(l.word[1]), length, &status);
	if (dkim == NULL)
		errx(1, "dkim_sign: %s", dkim_getresultstr(status));
	dkim_set_margin(dkim, 0);
	status = dkim_chunk(dkim, (u_char *)l.bytes, l.bytes_n);
	if (status == DKIM_STAT_OK)
		status = dkim_chunk(dkim, NULL, 0);
	if (status == DKIM_STAT_OK)
		status = dkim_eom(dkim, NULL);
	if (status == DKIM_STAT_OK)
		status = dkim_getsighdr_d(dkim, strlen("DKIM-Signature: "), &field, &n);
	if (status == DKIM_STAT_OK)
		printf("%zu\nDKIM-Signature: %s\r\n", n + strlen("DKIM-Signature: \r\n"),
			field);
	else
		printf("0\n");
	dkim_free(dkim);
}

int
main(void)
{
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	char *key = NULL;
	unsigned bits = 1024;
	uint64_t drift = 24 * 3600; /* ours: DKIM_SKEW_S */
	u_int flags = DKIM_LIBFLAGS_SIGNLEN;
	if (lib == NULL)
		errx(1, "dkim_init");
	dkim_set_key_lookup(lib, lookup);
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof(bits));
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift, sizeof(drift));
	dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags));
	while (lines_next(&l) == 1) {
		if (strcmp(l.word[0], "verify") == 0) {
			verify(lib);
		} else if (strcmp(l.word[0], "key") == 0) {
			free(key);
			key = strdup(l.bytes);
		} else if (strcmp(l.word[0], "sign") == 0 && l.n == 8 && key != NULL) {
			sign(lib, key);
		} else {
			errx(2, "unknown command %s", l.word[0]);
		}
		fflush(stdout);
	}
	free(key);
	dkim_close(lib);
	lines_fini(&l);
	return 0;
}
