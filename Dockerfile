# vidstyle in a container. Two targets: `studio`, which serves the page, and `cluster`, the default,
# with Ray for farms and clusters.
#
#     docker build -t vidstyle .                       with CUDA
#     docker build -t vidstyle:cpu --build-arg CUDA=0 .    without CUDA, some gigabytes smaller
#     docker build -t vidstyle-studio --target studio .
#     docker run --rm --gpus all -v "$PWD:/data" vidstyle render clip.mp4 ink -o out.mp4

# The minor version of Python must be the same on all machines of a Ray cluster.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE} AS base
ARG CUDA=1

# OpenCV needs libgl1 and libglib2.0-0, --engine compile needs g++, the probes of KubeRay and the
# health check wget. What a new volume holds belongs to the owner of the folder in the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libglib2.0-0 wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 vidstyle \
    && install --directory --owner vidstyle --group vidstyle /data /home/vidstyle/.cache

ENV VIRTUAL_ENV=/opt/vidstyle
ENV PATH=${VIRTUAL_ENV}/bin:${PATH}

# PyTorch from PyPI includes the CUDA libraries. The driver comes from the host.
# hadolint ignore=DL3013
RUN python3 -m venv "${VIRTUAL_ENV}" \
    && if [ "${CUDA}" = 0 ]; then \
        pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
            torch torchvision; \
    else \
        pip install --no-cache-dir torch torchvision; \
    fi

COPY pyproject.toml README.md LICENSE /src/
COPY vidstyle /src/vidstyle
COPY samples/styles /src/samples/styles

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
WORKDIR /data
ENTRYPOINT ["vidstyle"]


FROM base AS studio

# hadolint ignore=DL3013
RUN pip install --no-cache-dir '/src[web]' \
    && vidstyle info

# A number, because Kubernetes checks runAsNonRoot by it.
USER 1000
EXPOSE 8300
VOLUME ["/data", "/home/vidstyle/.cache"]
# The page itself needs no token. From here its address is this machine's.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["wget", "--quiet", "--output-document=/dev/null", "http://127.0.0.1:8300/"]
CMD ["studio", "--address", "0.0.0.0:8300", "--folder", "/data", "--no-browser"]


FROM base AS cluster

# ray[default] has what `ray up`, `ray job submit` and KubeRay need besides the extra `ray`.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir '/src[ray]' 'ray[default]' \
    && vidstyle info

USER 1000
CMD ["--help"]
