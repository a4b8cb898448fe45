/*
 * postern: the command line tool. `postern -f FILE COMMAND`; the commands are in tool_*.c.
 * It reads a configuration with the code that posternd starts from, so what it calls right is.
 */
#include <string.h>
#include <unistd.h>

#include "main/tool.h"

static const struct {
	const char *name, *text;
	int (*run)(const struct tool *t, int n, char *const words[]);
} commands[] = {
	{"check", "[--defaults] [FILE]    what is wrong; for each rule its stage and its cost",
		tool_check},
	{"facts",
		"[spam]                 the facts that rules can ask for; what speaks for spam",
		tool_facts},
	{"sample", "                      every setting, as a commented configuration",
		tool_sample},
	{"manual", "[events]              the manual page postern.conf(5); what is logged",
		tool_manual},
	{"explain", "OPTION ... FILE      one mail through the rules, and why", tool_explain},
	{"dkim",
		"keygen DOMAIN SELECTOR [ed25519 | rsa2048] [FILE]    a key and its DNS record",
		tool_dkim},
	{"passwd", "USER [FILE]           sets the password of an account", tool_passwd},
	{"doctor",
		"[--json] [--listen] [--address ADDRESS ...]    is the gateway well, as the "
		"world "
		"sees it",
		tool_doctor},
	{"learn", "spam | ham | status PATH ...    teaches the spam filter", tool_learn},
	{"unlearn", "PATH ...              takes back what it was taught of these mails",
		tool_unlearn},
	{"limits", "[list | reset] ...      what limits and the greylist hold", tool_limits},
	{"queue",
		"[list | show | why | body | hold | release | retry | expire | drop] ...   "
		"what "
		"waits",
		tool_queue},
	{"spam", "test [OPTION ...] CORPUS      the spam filter on mails whose truth is known",
		tool_spam},
	{"quarantine",
		"[list | show | release | forward | delete | learn] ...   what was held for a "
		"person",
		tool_quarantine},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int
usage(const struct tool *t)
{
	fputs("usage: postern [-f FILE] COMMAND\n", t->err);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(t->err, "  %s %s\n", commands[i].name, commands[i].text);
	return 2;
}

int
main(int argc, char *argv[])
{
	struct tool t = {"/etc/postern/postern.conf", false, stdin, stdout, stderr};
	int option;
	/* "+": what stands behind the command is the command's. */
	while ((option = getopt(argc, argv, "+f:")) != -1) {
		if (option != 'f')
			return usage(&t);
		t.config = optarg;
		t.config_given = true;
	}
	if (optind == argc)
		return usage(&t);
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[optind], commands[i].name) == 0)
			return commands[i].run(&t, argc - optind - 1, argv + optind + 1);
	fprintf(stderr, "postern: there is no command %s\n", argv[optind]);
	return usage(&t);
}
