# boundmesh on the CPU. Build and use:
#
#   docker build --tag boundmesh .
#   docker run --rm --volume "$PWD:/work" boundmesh verify property.vnnlib --network network.onnx
#
# The first stage builds the wheel, so that the image holds no sources and no build tools.

ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY boundmesh boundmesh
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /tmp/wheels
# The build of torch for CPUs is a tenth of the size of the usual one. It comes from PyTorch's own
# index, and is named by the version of constraints.txt.
RUN version="$(sed -n 's/^torch==//p' /tmp/constraints.txt)" \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu "torch==${version}+cpu" \
        /tmp/wheels/*.whl \
    && rm -r /tmp/wheels /tmp/constraints.txt \
    && useradd --uid 1000 --create-home boundmesh
USER 1000
WORKDIR /work
ENTRYPOINT ["boundmesh"]
CMD ["--help"]
