tpm2_getrandom 32 -o first
tpm2_getrandom 32 -o second
differ first second
printf 'some entropy' | tpm2_stirrandom
