# What the flows of tpm2-tools share. Each flow is run by `sh -eu` in an empty folder, on a TPM fresh from manufacture.

# Nothing manages the TPM's few object slots here: what a tool leaves loaded is flushed.
flush() { tpm2_flushcontext -t; }

# refused CODE COMMAND: it fails, and for this reason.
refused() {
    code=$1
    shift
    if "$@" >refused.out 2>refused.err; then
        echo "not refused: $*"
        exit 1
    fi
    if ! grep -qi "($code)" refused.err; then
        cat refused.err
        echo "refused for another reason than $code: $*"
        exit 1
    fi
}

# Two files are not the same.
differ() { if cmp -s "$1" "$2"; then echo "$1 and $2 are the same" && exit 1; fi; }
