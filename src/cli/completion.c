/* shrewd completion: the scripts of three shells, written from the options and commands tables. */
#include "cli/config.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

#define LEVELS "debug|info|warn|error|off"

enum words { WORDS_NONE, WORDS_FILES, WORDS_DIRS, WORDS_CHOICE };

/* What the value of a flag may be completed from. */
static enum words words_of(const struct shr_option *option) {
    switch (option->kind) {
    case SHR_OPTION_FILE:
    case SHR_OPTION_PATH:
        return WORDS_FILES;
    case SHR_OPTION_DIR:
        return WORDS_DIRS;
    case SHR_OPTION_LEVEL:
    case SHR_OPTION_CHOICE:
        return WORDS_CHOICE;
    default:
        return WORDS_NONE;
    }
}

static const char *const bash_head =
    "# bash completion of shrewd; made by: shrewd completion bash\n"
    "_shrewd() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local command=${COMP_WORDS[1]} flags= words=\n"
    "    # bash splits --flag=value at the equals sign\n"
    "    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    [[ $cur == = ]] && cur=\n"
    "    # flags without a command are those of run\n"
    "    [[ ${COMP_WORDS[0]##*/} == rockshrew-mono || $command == -* ]] && command=run\n"
    "    COMPREPLY=()\n"
    "    case $prev in\n";

static const char *const bash_tail = "help' -- \"$cur\"))\n"
                                     "    elif [[ $cur == -* ]]; then\n"
                                     "        COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
                                     "    elif [[ -n $words ]]; then\n"
                                     "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                                     "    else\n"
                                     "        compopt -o filenames 2>/dev/null\n"
                                     "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
                                     "    fi\n"
                                     "}\n"
                                     "complete -F _shrewd shrewd rockshrew-mono\n";

static void bash_values(enum words words, const char *reply) {
    const char *between = "    ";
    for (size_t i = 0; i < shr_option_count; i++) {
        if (shr_options[i].arg != NULL && words_of(&shr_options[i]) == words) {
            printf("%s--%s", between, shr_options[i].name);
            between = "|";
        }
    }
    printf(")%s\n        return ;;\n", reply);
}

/* The words of a choice, with spaces between. */
static void print_choice(const struct shr_option *option) {
    const char *words = option->kind == SHR_OPTION_LEVEL ? LEVELS : option->arg;
    for (const char *at = words == NULL ? "" : words; *at != 0; at++) {
        putchar(*at == '|' ? ' ' : *at);
    }
}

static void bash_choices(void) {
    for (size_t i = 0; i < shr_option_count; i++) {
        if (words_of(&shr_options[i]) == WORDS_CHOICE) {
            printf("    --%s)\n        COMPREPLY=($(compgen -W '", shr_options[i].name);
            print_choice(&shr_options[i]);
            puts("' -- \"$cur\"))\n        return ;;");
        }
    }
}

static void print_bash(void) {
    fputs(bash_head, stdout);
    bash_values(WORDS_FILES, "\n        compopt -o filenames 2>/dev/null\n"
                             "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")");
    bash_values(WORDS_DIRS, "\n        compopt -o filenames 2>/dev/null\n"
                            "        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")");
    bash_choices();
    bash_values(WORDS_NONE, "");
    puts("    esac\n    case $command in");
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        const struct shr_command *command = &shr_commands[c];
        printf("    %s)\n        flags='", command->name);
        for (size_t i = 0; i < shr_option_count; i++) {
            if (shr_option_applies(&shr_options[i], command)) {
                printf("--%s ", shr_options[i].name);
            }
        }
        printf("'\n        words='%s' ;;\n", command->words != NULL ? command->words : "");
    }
    fputs("    esac\n    if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        printf("%s ", shr_commands[c].name);
    }
    fputs(bash_tail, stdout);
}

/* Text inside single quotes; the characters of `special` get a backslash. */
static void print_quoted(const char *text, const char *special) {
    for (; *text != 0; text++) {
        if (*text == '\'') {
            fputs("'\\''", stdout);
        } else {
            if (strchr(special, *text) != NULL) {
                putchar('\\');
            }
            putchar(*text);
        }
    }
}

static void zsh_option(const struct shr_option *option) {
    static const char *const actions[] = {
        [WORDS_NONE] = "",
        [WORDS_FILES] = "_files",
        [WORDS_DIRS] = "_files -/",
        [WORDS_CHOICE] = "",
    };
    printf("            '--%s%s[", option->name, option->arg != NULL ? "=" : "");
    print_quoted(option->help, "[]:\\");
    putchar(']');
    if (option->arg != NULL) {
        putchar(':');
        print_quoted(option->arg, ":\\");
        printf(":%s", actions[words_of(option)]);
    }
    if (words_of(option) == WORDS_CHOICE) {
        putchar('(');
        print_choice(option);
        putchar(')');
    }
    puts("' \\");
}

static void print_zsh(void) {
    puts("#compdef shrewd rockshrew-mono\n"
         "# zsh completion of shrewd; made by: shrewd completion zsh\n"
         "_shrewd() {\n"
         "    local -a commands=(");
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        printf("        '%s:", shr_commands[c].name);
        print_quoted(shr_commands[c].summary, ":\\");
        puts("'");
    }
    puts("    )\n"
         "    local command=$words[2]\n"
         "    if [[ ${words[1]:t} == rockshrew-mono || $command == -* ]]; then\n"
         "        command=run # flags without a command are those of run\n"
         "    elif ((CURRENT == 2)); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    else\n"
         "        shift words\n"
         "        ((CURRENT--))\n"
         "    fi\n"
         "    case $command in");
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        const struct shr_command *command = &shr_commands[c];
        printf("    %s)\n        _arguments \\\n", command->name);
        for (size_t i = 0; i < shr_option_count; i++) {
            if (shr_option_applies(&shr_options[i], command)) {
                zsh_option(&shr_options[i]);
            }
        }
        if (command->words != NULL) {
            printf("            '1:%s:(%s)'", command->arguments, command->words);
        } else if (command->arguments != NULL) {
            fputs("            '*:argument:_files'", stdout);
        } else {
            fputs("            '*: :'", stdout);
        }
        puts(" ;;");
    }
    puts("    esac\n}\n"
         "if [[ ${funcstack[1]} == _shrewd ]]; then\n"
         "    _shrewd \"$@\"\n"
         "else\n"
         "    compdef _shrewd shrewd rockshrew-mono\n"
         "fi");
}

/* The condition under which fish offers what belongs to a command. */
static void fish_condition(const struct shr_command *command) {
    fputs("complete -c shrewd -n '", stdout);
    if (command->id != SHR_COMMAND_RUN) {
        printf("__fish_seen_subcommand_from %s'", command->name);
        return;
    }
    /* Flags without a command are those of run. */
    fputs("not __fish_seen_subcommand_from help", stdout);
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        if (c != SHR_COMMAND_RUN) {
            printf(" %s", shr_commands[c].name);
        }
    }
    putchar('\'');
}

static void fish_option(const struct shr_command *command, const struct shr_option *option) {
    static const char *const values[] = {
        [WORDS_NONE] = " -x",
        [WORDS_FILES] = " -r -F",
        [WORDS_DIRS] = " -x -a '(__fish_complete_directories)'",
        [WORDS_CHOICE] = " -x -a '",
    };
    fish_condition(command);
    printf(" -l %s%s", option->name, option->arg != NULL ? values[words_of(option)] : "");
    if (words_of(option) == WORDS_CHOICE) {
        print_choice(option);
        putchar('\'');
    }
    fputs(" -d '", stdout);
    print_quoted(option->help, "\\");
    puts("'");
}

static void print_fish(void) {
    puts("# fish completion of shrewd; made by: shrewd completion fish\n"
         "complete -c shrewd -f\n"
         "complete -c rockshrew-mono -w 'shrewd run'");
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        const struct shr_command *command = &shr_commands[c];
        printf("complete -c shrewd -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(command->summary, "\\");
        puts("'");
        for (size_t i = 0; i < shr_option_count; i++) {
            if (shr_option_applies(&shr_options[i], command)) {
                fish_option(command, &shr_options[i]);
            }
        }
        if (command->words != NULL) {
            fish_condition(command);
            printf(" -a '%s'\n", command->words);
        } else if (command->arguments != NULL) {
            fish_condition(command);
            puts(" -F");
        }
    }
}

int shr_cmd_completion(struct shr_config *config) {
    const char *shell = config->args[0];
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else if (strcmp(shell, "fish") == 0) {
        print_fish();
    } else {
        struct shrewd_error err = {0};
        shr_fail(&err, SHREWD_INVALID, "'%.100s' is not a shell shrewd knows: bash, zsh or fish",
                 shell);
        return shr_report(&err);
    }
    return SHR_EXIT_OK;
}
