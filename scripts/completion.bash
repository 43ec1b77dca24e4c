# SPDX-License-Identifier: BSD-3-Clause
# bash completion for tandemctl. The commands and their options come from "tandemctl --complete".

_tandemctl_words()
{
	local table=$1 noun=$2 verb=$3

	if [[ -z $noun ]]; then
		printf '%s\n' "$table" | cut -d ' ' -f 1 | sort -u
	elif [[ -z $verb ]] && ! printf '%s\n' "$table" | grep -q "^$noun - \?"; then
		printf '%s\n' "$table" | sed -n "s/^$noun \([a-z]*\).*/\1/p"
	else
		printf '%s\n' "$table" | sed -n "s/^$noun \(-\|$verb\) //p"
	fi
}

_tandemctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[0]} noun='' verb='' i table
	local -a socket=()

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket)
			socket=(-s "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-*) ;;
		*)
			if [[ -z $noun ]]; then
				noun=${COMP_WORDS[i]}
			elif [[ -z $verb ]]; then
				verb=${COMP_WORDS[i]}
			fi
			;;
		esac
	done

	case $prev in
	-s | --socket | --key-file | --out | --ca-key | --ca-cert | load | gen | pub | cert)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--direction)
		mapfile -t COMPREPLY < <(compgen -W "in out" -- "$cur")
		return
		;;
	--protocol)
		mapfile -t COMPREPLY < <(compgen -W "esp ah" -- "$cur")
		return
		;;
	--type)
		mapfile -t COMPREPLY < <(compgen -W "x25519 ed25519 ecdsa-p256" -- "$cur")
		return
		;;
	--side)
		mapfile -t COMPREPLY < <(compgen -W "plain protected both" -- "$cur")
		return
		;;
	--key)
		COMPREPLY=(-)
		return
		;;
	--tunnel | --suite)
		mapfile -t COMPREPLY < <(compgen -W "$("$command" "${socket[@]}" "${prev#--}" list 2>/dev/null |
			awk 'NR > 1 { print $1 }')" -- "$cur")
		return
		;;
	esac

	if [[ $noun == tunnel && $verb =~ ^(up|down|rekey|wait)$ && $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$command" "${socket[@]}" tunnel list 2>/dev/null |
			awk 'NR > 1 { print $1 }')" -- "$cur")
		return
	fi

	table=$("$command" --complete 2>/dev/null) || return
	if [[ -z $noun && $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--socket --json --help" -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$(_tandemctl_words "$table" "$noun" "$verb")" -- "$cur")
}

complete -F _tandemctl tandemctl
