# vidstyle with Ray, for farms and clusters.
#
#     docker build -t vidstyle .                       with CUDA
#     docker build -t vidstyle:cpu --build-arg CUDA=0 .    without CUDA, some gigabytes smaller
#     docker run --rm --gpus all -v "$PWD:/data" vidstyle render clip.mp4 ink -o out.mp4

# The minor version of Python must be the same on all machines of a Ray cluster.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
ARG CUDA=1

# OpenCV needs libgl1 and libglib2.0-0, --engine compile needs g++, the probes of KubeRay wget.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libglib2.0-0 wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 vidstyle

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

# ray[default] has what `ray up`, `ray job submit` and KubeRay need besides the extra `ray`.
COPY pyproject.toml README.md LICENSE /src/
COPY vidstyle /src/vidstyle
COPY samples/styles /src/samples/styles
# hadolint ignore=DL3013
RUN pip install --no-cache-dir '/src[ray]' 'ray[default]' \
    && vidstyle info

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

# A number, because Kubernetes checks runAsNonRoot by it.
USER 1000
WORKDIR /data
ENTRYPOINT ["vidstyle"]
CMD ["--help"]
