# CPU:   docker build -t sparse_gf .
# CUDA:  docker build -t sparse_gf --build-arg EXTRAS=[cuda] .
#        docker run --gpus all ...; the image needs the host's driver alone.
# Then:  docker run -v "$PWD/results:/results" sparse_gf train --config=sc_sdc
FROM python:3.12-slim
ARG EXTRAS=""
WORKDIR /source
COPY setup.py pyproject.toml MANIFEST.in README.md LICENSE ./
COPY configs configs
COPY sparse_gf sparse_gf
RUN pip install --no-cache-dir ".${EXTRAS}" && rm -rf /source
WORKDIR /
ENTRYPOINT ["sparse-gf"]
CMD ["--help"]
